variable "project_name" {
  description = "Begins every name."
  type        = string
  default     = "migrator"
}

variable "environment" {
  description = "Which installation this is, such as dev or prod."
  type        = string
}

variable "region" {
  description = "Where queues, table, bus and containers are; migrations may go to any region."
  type        = string
}

# --- network -----------------------------------------------------------------------------------------------------------

variable "vpc_id" {
  description = "Where the containers run: with a way to AWS, to Temporal, to the data centre and to launched addresses."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of that VPC."
  type        = list(string)
}

# --- containers --------------------------------------------------------------------------------------------------------

variable "image" {
  description = "The product's image, by digest: REPOSITORY@sha256:…"
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image is named by its digest, REPOSITORY@sha256:…, so that what was tested is what runs."
  }
}

variable "image_repository" {
  description = "Name of the ECR repository of that image."
  type        = string
}

variable "worker" {
  description = "Size of a worker (1024 CPU units are one virtual CPU, memory in MiB), and how many run."
  type = object({
    cpu    = optional(number, 1024)
    memory = optional(number, 2048)
    tasks  = optional(object({ min = number, max = number }), { min = 2, max = 6 })
  })
  default = {}
}

variable "ingress" {
  description = "Size of an ingress, and how many run."
  type = object({
    cpu    = optional(number, 256)
    memory = optional(number, 512)
    tasks  = optional(object({ min = number, max = number }), { min = 1, max = 3 })
  })
  default = {}
}

variable "metrics" {
  description = "Whether worker and ingress measure themselves, into CloudWatch by a collector beside each task (docs/metrics.md)."
  type        = bool
  default     = false
}

variable "tracing" {
  description = "Whether worker and ingress trace, to X-Ray by a collector beside each task (docs/tracing.md)."
  type        = bool
  default     = false
}

variable "collector_image" {
  description = "The AWS Distro for OpenTelemetry; better named by its digest, in a registry of your own."
  type        = string
  default     = "public.ecr.aws/aws-observability/aws-otel-collector:v0.49.0"
}

variable "settings" {
  description = "Further settings of the product, by their names as environment variables: MIGRATOR_… (migration/settings.py)."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.settings) : startswith(name, "MIGRATOR_")])
    error_message = "settings have names that begin with MIGRATOR_."
  }
}

variable "secret_settings" {
  description = "Settings whose values are secrets: ARN of the secret by the name of the variable."
  type        = map(string)
  default     = {}
}

variable "secret_arns" {
  description = "Further secrets that requests and settings refer to by secretsmanager:NAME."
  type        = list(string)
  default     = []
}

variable "secret_key_arns" {
  description = "Keys that those secrets are encrypted with, where it is not the installation's own."
  type        = list(string)
  default     = []
}

variable "log_level" {
  type    = string
  default = "INFO"
}

# --- Temporal ----------------------------------------------------------------------------------------------------------

variable "temporal" {
  description = "kind: cloud or self-hosted. address: HOST:PORT. authentication: api_key or mtls."
  type = object({
    kind           = string
    address        = string
    namespace      = string
    authentication = optional(string, "api_key")
  })
}

# --- accounts that migrations go to ------------------------------------------------------------------------------------

variable "target_accounts" {
  description = "Account ids; in each, modules/target-account is applied."
  type        = list(string)
  default     = []
}

variable "external_id" {
  description = "What the worker says when it assumes a target account's role: 16 characters or more."
  type        = string
}

# --- who deploys -------------------------------------------------------------------------------------------------------

variable "github_repository" {
  description = "OWNER/NAME whose jobs build, plan and deploy; null: nobody does but an administrator. Needs GitHub's OIDC provider in the account."
  type        = string
  default     = null
}

variable "state_bucket" {
  description = "S3 bucket of this configuration's state, for the deploy role."
  type        = string
}

variable "state_key" {
  description = "Its key in the bucket."
  type        = string
}

# --- how long things are kept, who is told -----------------------------------------------------------------------------

variable "log_retention_days" {
  type    = number
  default = 90
}

variable "archive_days" {
  description = "For how long events can be replayed."
  type        = number
  default     = 90
}

variable "deletion_protection" {
  description = "Of the state table."
  type        = bool
  default     = true
}

variable "alarm_email" {
  description = "Who is told of alarms, and of what a person must decide."
  type        = string
  default     = null
}

variable "api_enabled" {
  description = "Whether there is an HTTP API in front of the request queue."
  type        = bool
  default     = false
}
