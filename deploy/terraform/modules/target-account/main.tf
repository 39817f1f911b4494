# The role that the worker assumes in an account that migrations go to: apply it there, once an account. Requests name
# it in target.roleArn.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 6.25" }
  }
}

variable "role_name" {
  description = "As the installation expects it: output target_role_name of the root."
  type        = string
}

variable "worker_role_arn" {
  description = "Who assumes it: output role_arns.worker of the root."
  type        = string
}

variable "external_id" {
  description = "What the worker has to say when it assumes the role: its setting external_id."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@:/-]{16,128}$", var.external_id))
    error_message = "external_id takes 16 to 128 letters, digits and +=,.@:/- (STS, AssumeRole)."
  }
}

variable "regions" {
  description = "Where migrations go to."
  type        = list(string)
}

variable "hosted_zone_ids" {
  description = "The hosted zones of this account whose records may be switched."
  type        = list(string)
  default     = []
}

data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}

locals {
  zones = [for id in var.hosted_zone_ids : "arn:${data.aws_partition.here.partition}:route53:::hostedzone/${id}"]
}

module "policies" {
  source = "../policies"

  kind       = "target_accounts"
  partition  = data.aws_partition.here.partition
  account_id = data.aws_caller_identity.here.account_id
  regions    = var.regions
  narrowed   = { "route53:ChangeResourceRecordSets" = local.zones }
}

resource "aws_iam_role" "this" {
  name                 = var.role_name
  max_session_duration = 3600
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Principal = { AWS = var.worker_role_arn }
      Condition = { StringEquals = { "sts:ExternalId" = var.external_id } }
    }]
  })
}

resource "aws_iam_policy" "parts" {
  for_each = module.policies.documents

  name   = "${var.role_name}-${each.key}"
  policy = each.value
}

resource "aws_iam_role_policy_attachment" "parts" {
  for_each = aws_iam_policy.parts

  role       = aws_iam_role.this.name
  policy_arn = each.value.arn
}

# What MGN does with EC2 in its caller's name at every launch (MGN user guide, "AWS managed policies").
resource "aws_iam_role_policy_attachment" "launch" {
  role       = aws_iam_role.this.name
  policy_arn = "arn:${data.aws_partition.here.partition}:iam::aws:policy/AWSApplicationMigrationEC2Access"
}

output "role_arn" {
  description = "For target.roleArn of requests."
  value       = aws_iam_role.this.arn
}
