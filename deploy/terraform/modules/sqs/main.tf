# The queue of requests, and where those go that nobody can serve.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 6.25" }
  }
}

variable "request_queue" {
  type = string
}

variable "dead_letter_queue" {
  type = string
}

variable "key_arn" {
  type = string
}

variable "sender_rule_arn" {
  description = "The EventBridge rule that sends requests."
  type        = string
}

variable "max_receive_count" {
  description = "Receptions before SQS itself gives a message up; what it moves has no reasons with it, so this is high."
  type        = number
  default     = 20

  validation {
    condition     = var.max_receive_count >= 10
    error_message = "An outage costs receptions: allow 10 or more."
  }
}

resource "aws_sqs_queue" "dead_letters" {
  name                              = var.dead_letter_queue
  message_retention_seconds         = 1209600 # 14 days, the longest there is: a person looks at them.
  visibility_timeout_seconds        = 30
  kms_master_key_id                 = var.key_arn
  kms_data_key_reuse_period_seconds = 300
}

resource "aws_sqs_queue" "requests" {
  name                              = var.request_queue
  message_retention_seconds         = 345600 # 4 days: a message keeps its age when it is moved to the dead letters.
  visibility_timeout_seconds        = 60     # The ingress extends it while it works; 30 is the least that it takes.
  receive_wait_time_seconds         = 20
  kms_master_key_id                 = var.key_arn
  kms_data_key_reuse_period_seconds = 300

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = var.max_receive_count
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.requests.arn]
  })
}

resource "aws_sqs_queue_policy" "requests" {
  queue_url = aws_sqs_queue.requests.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "EncryptedTransportOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = aws_sqs_queue.requests.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "RequestsFromTheBus"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.requests.arn
        Condition = { ArnEquals = { "aws:SourceArn" = var.sender_rule_arn } }
      },
    ]
  })
}

resource "aws_sqs_queue_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "EncryptedTransportOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = aws_sqs_queue.dead_letters.arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

output "request_queue_url" {
  value = aws_sqs_queue.requests.url
}

output "request_queue_arn" {
  value = aws_sqs_queue.requests.arn
}

output "dead_letter_queue_url" {
  value = aws_sqs_queue.dead_letters.url
}
