# The state table: exactly what adapters/dynamodb_table.py says, which a test compares.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 6.25" }
  }
}

variable "name" {
  type = string
}

variable "key_arn" {
  type = string
}

variable "deletion_protection" {
  type = bool
}

resource "aws_dynamodb_table" "state" {
  name                        = var.name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "updatedAt"
    type = "S"
  }

  attribute {
    name = "waveId"
    type = "S"
  }

  attribute {
    name = "status"
    type = "S"
  }

  attribute {
    name = "appName#status"
    type = "S"
  }

  global_secondary_index {
    name            = "by-wave"
    hash_key        = "waveId"
    range_key       = "updatedAt"
    projection_type = "INCLUDE"
    non_key_attributes = [
      "migrationId", "appName", "environment", "status", "message", "servedBy", "awaiting", "generation", "startedAt",
      "endedAt",
    ]
  }

  global_secondary_index {
    name            = "by-status"
    hash_key        = "status"
    range_key       = "updatedAt"
    projection_type = "INCLUDE"
    non_key_attributes = [
      "migrationId", "appName", "environment", "waveId", "message", "servedBy", "awaiting", "generation", "startedAt",
      "endedAt",
    ]
  }

  global_secondary_index {
    name            = "by-application"
    hash_key        = "appName#status"
    range_key       = "updatedAt"
    projection_type = "INCLUDE"
    non_key_attributes = [
      "migrationId", "appName", "environment", "waveId", "status", "message", "servedBy", "awaiting", "generation",
      "startedAt", "endedAt",
    ]
  }

  ttl {
    attribute_name = "expiresAt"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = var.key_arn
  }
}

output "name" {
  value = aws_dynamodb_table.state.name
}

output "arn" {
  value = aws_dynamodb_table.state.arn
}
