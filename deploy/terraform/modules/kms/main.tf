# One key for everything that the installation keeps: queues, table, bus, archive, logs, secrets.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 6.25" }
  }
}

variable "alias" {
  type = string
}

variable "policy" {
  description = "The key's policy (JSON)."
  type        = string
}

resource "aws_kms_key" "this" {
  description             = "What ${trimprefix(var.alias, "alias/")} keeps"
  policy                  = var.policy
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

resource "aws_kms_alias" "this" {
  name          = var.alias
  target_key_id = aws_kms_key.this.key_id
}

output "arn" {
  value = aws_kms_key.this.arn
}
