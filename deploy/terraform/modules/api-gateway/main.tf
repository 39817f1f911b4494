# POST /migrations puts its body on the request queue, for callers that AWS knows: IAM signs and allows each call.
# The answer is SQS's; whether the request was taken is told by events and by its callbacks.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 6.25" }
  }
}

variable "name" {
  type = string
}

variable "request_queue_url" {
  type = string
}

variable "request_queue_arn" {
  type = string
}

variable "key_arn" {
  type = string
}

variable "account_id" {
  type = string
}

variable "log_group" {
  type = string
}

variable "log_retention_days" {
  type = number
}

resource "aws_iam_role" "this" {
  name = "${var.name}-api"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "apigateway.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "send"
  role = aws_iam_role.this.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [var.request_queue_arn] },
      { Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = [var.key_arn] },
    ]
  })
}

resource "aws_apigatewayv2_api" "this" {
  name          = var.name
  description   = "Requests for migrations"
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "requests" {
  api_id                 = aws_apigatewayv2_api.this.id
  integration_type       = "AWS_PROXY"
  integration_subtype    = "SQS-SendMessage"
  payload_format_version = "1.0"
  credentials_arn        = aws_iam_role.this.arn
  request_parameters = {
    QueueUrl    = var.request_queue_url
    MessageBody = "$request.body"
  }
}

resource "aws_apigatewayv2_route" "requests" {
  api_id             = aws_apigatewayv2_api.this.id
  route_key          = "POST /migrations"
  authorization_type = "AWS_IAM"
  target             = "integrations/${aws_apigatewayv2_integration.requests.id}"
}

resource "aws_cloudwatch_log_group" "this" {
  name              = var.log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}

resource "aws_apigatewayv2_stage" "this" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_burst_limit = 20
    throttling_rate_limit  = 10
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.this.arn
    format = jsonencode({
      requestId = "$context.requestId"
      caller    = "$context.identity.userArn"
      status    = "$context.status"
      error     = "$context.integrationErrorMessage"
    })
  }
}

output "endpoint" {
  value = "${aws_apigatewayv2_api.this.api_endpoint}/migrations"
}
