# How workers and ingress reach Temporal: the variables that temporalio.envconfig reads, and the secrets behind them.
# The secrets are made empty: their values are put in by hand, and are in no state.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 6.25" }
  }
}

variable "secrets_prefix" {
  type = string
}

variable "key_arn" {
  type = string
}

variable "kind" {
  description = "cloud: Temporal Cloud; self-hosted: a server of your own."
  type        = string

  validation {
    condition     = contains(["cloud", "self-hosted"], var.kind)
    error_message = "kind is cloud or self-hosted."
  }
}

variable "address" {
  description = "HOST:PORT of the frontend."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9.-]+:[0-9]+$", var.address))
    error_message = "address is HOST:PORT."
  }
}

variable "namespace" {
  type = string
}

variable "authentication" {
  description = "api_key, or mtls."
  type        = string

  validation {
    condition     = contains(["api_key", "mtls"], var.authentication)
    error_message = "authentication is api_key or mtls."
  }
}

locals {
  # Temporal Cloud has a public certificate; a server of your own is trusted through its own authority.
  secrets = merge(
    var.authentication == "api_key" ? { TEMPORAL_API_KEY = "temporal-api-key" } : {},
    var.authentication == "mtls" ? {
      TEMPORAL_TLS_CLIENT_CERT_DATA = "temporal-client-certificate"
      TEMPORAL_TLS_CLIENT_KEY_DATA  = "temporal-client-key"
    } : {},
    var.kind == "self-hosted" ? { TEMPORAL_TLS_SERVER_CA_CERT_DATA = "temporal-server-ca" } : {},
  )
}

resource "aws_secretsmanager_secret" "this" {
  for_each = local.secrets

  name                    = "${var.secrets_prefix}/${each.value}"
  description             = "${each.key} of migrator's workers and ingress"
  kms_key_id              = var.key_arn
  recovery_window_in_days = 7
}

output "environment" {
  description = "For the containers."
  value = {
    TEMPORAL_ADDRESS   = var.address
    TEMPORAL_NAMESPACE = var.namespace
    TEMPORAL_TLS       = "true"
  }
}

output "secrets" {
  description = "For the containers: secret ARN by variable."
  value       = { for variable, secret in aws_secretsmanager_secret.this : variable => secret.arn }
}

output "address" {
  value = var.address
}
