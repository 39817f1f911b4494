# Every name of an installation, from three words. No provider: `terraform test` runs it anywhere.

terraform {
  required_version = ">= 1.8"
}

variable "project_name" {
  description = "Begins every name: lower-case letters, digits and hyphens."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.project_name))
    error_message = "project_name takes 3 to 20 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "environment" {
  description = "Which installation this is, such as dev or prod."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,9}$", var.environment))
    error_message = "environment takes 2 to 10 lower-case letters and digits."
  }
}

locals {
  prefix = "${var.project_name}-${var.environment}"
}

output "prefix" {
  description = "Begins every name, and is the path that roles and secrets have."
  value       = local.prefix
}

output "request_queue" {
  value = "${local.prefix}-requests"
}

output "dead_letter_queue" {
  value = "${local.prefix}-requests-dlq"
}

output "state_table" {
  value = "${local.prefix}-state"
}

output "event_bus" {
  value = local.prefix
}

output "key_alias" {
  value = "alias/${local.prefix}"
}

output "roles" {
  description = "Role names by the part that an installation plays."
  value       = { for part in ["ingress", "worker", "execution", "read-only", "build", "plan", "deploy"] : part => "${local.prefix}-${part}" }
}

output "target_role" {
  description = "What the role is called in every account that migrations go to."
  value       = "${local.prefix}-target"
}

output "secrets" {
  description = "Begins the name of every secret: what is under it may be read."
  value       = local.prefix
}

output "log_groups" {
  value = { for part in ["worker", "ingress", "api", "metrics"] : part => "/${var.project_name}/${var.environment}/${part}" }
}

output "event_log_group" {
  description = "EventBridge writes only to log groups under /aws/events."
  value       = "/aws/events/${local.prefix}"
}

output "tags" {
  description = "On everything that can carry tags."
  value = {
    Project     = var.project_name
    Environment = var.environment
    ManagedBy   = "terraform"
  }
}
