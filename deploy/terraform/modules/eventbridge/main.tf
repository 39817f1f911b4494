# The bus that the setting event_bus names: what migrator tells on it is archived and logged, what asks for a migration
# on it goes to the request queue, and what a person must act on goes to the topic. MGN tells its own on the default bus.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 6.25" }
  }
}

variable "name" {
  description = "Of the bus."
  type        = string
}

variable "key_arn" {
  type = string
}

variable "request_queue_arn" {
  type = string
}

variable "request_rule" {
  description = "Name of the rule that sends requests to the queue, whose policy names it."
  type        = string
}

variable "topic_arn" {
  description = "Where people are told."
  type        = string
}

variable "log_group" {
  type = string
}

variable "log_retention_days" {
  type = number
}

variable "archive_days" {
  type = number
}

resource "aws_cloudwatch_event_bus" "this" {
  name               = var.name
  kms_key_identifier = var.key_arn
}

resource "aws_cloudwatch_event_archive" "this" {
  name               = var.name
  event_source_arn   = aws_cloudwatch_event_bus.this.arn
  retention_days     = var.archive_days
  kms_key_identifier = var.key_arn
}

resource "aws_cloudwatch_event_rule" "requests" {
  name           = var.request_rule
  description    = "Requests of other systems; migrator's own news of the same name is no request."
  event_bus_name = aws_cloudwatch_event_bus.this.name
  event_pattern = jsonencode({
    source      = [{ "anything-but" = ["migrator"] }]
    detail-type = ["MigrationRequested"]
  })
}

resource "aws_cloudwatch_event_target" "requests" {
  rule           = aws_cloudwatch_event_rule.requests.name
  event_bus_name = aws_cloudwatch_event_bus.this.name
  target_id      = "request-queue"
  arn            = var.request_queue_arn
}

resource "aws_cloudwatch_event_rule" "people" {
  name           = "${var.name}-people"
  description    = "What a person must act on, or wants to know."
  event_bus_name = aws_cloudwatch_event_bus.this.name
  event_pattern = jsonencode({
    source = ["migrator"]
    detail-type = [
      "ApprovalRequested", "DecisionNeeded", "DecisionReminder", "MigrationFailed", "MigrationRequestRefused",
      "MigrationRolledBack",
    ]
  })
}

resource "aws_cloudwatch_event_target" "people" {
  rule           = aws_cloudwatch_event_rule.people.name
  event_bus_name = aws_cloudwatch_event_bus.this.name
  target_id      = "topic"
  arn            = var.topic_arn
}

resource "aws_cloudwatch_event_rule" "ours" {
  name           = "${var.name}-log"
  description    = "Everything that migrator tells."
  event_bus_name = aws_cloudwatch_event_bus.this.name
  event_pattern  = jsonencode({ source = ["migrator"] })
}

resource "aws_cloudwatch_event_target" "ours" {
  rule           = aws_cloudwatch_event_rule.ours.name
  event_bus_name = aws_cloudwatch_event_bus.this.name
  target_id      = "log"
  arn            = aws_cloudwatch_log_group.events.arn
}

resource "aws_cloudwatch_event_rule" "mgn" {
  name          = "${var.name}-mgn"
  description   = "What MGN tells in this account; migrator asks MGN itself, and needs none of it."
  event_pattern = jsonencode({ source = ["aws.mgn"] })
}

resource "aws_cloudwatch_event_target" "mgn" {
  rule      = aws_cloudwatch_event_rule.mgn.name
  target_id = "log"
  arn       = aws_cloudwatch_log_group.events.arn
}

resource "aws_cloudwatch_log_group" "events" {
  name              = var.log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}

resource "aws_cloudwatch_log_resource_policy" "events" {
  policy_name = var.name
  policy_document = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = ["delivery.logs.amazonaws.com", "events.amazonaws.com"] }
      Action    = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource  = "${aws_cloudwatch_log_group.events.arn}:*"
    }]
  })
}

output "name" {
  value = aws_cloudwatch_event_bus.this.name
}

output "arn" {
  value = aws_cloudwatch_event_bus.this.arn
}
