# A role for each part of the installation, with the documents that it is given. The target accounts' role is a module
# of its own, target-account, since it is applied there.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 6.25" }
  }
}

variable "roles" {
  description = "Role name by part."
  type        = map(string)
}

variable "trusts" {
  description = "Who may take the role (JSON), by part; a part without trust has no role."
  type        = map(string)
}

variable "policies" {
  description = "What the role may do: documents (JSON) by name, by part."
  type        = map(map(string))
}

resource "aws_iam_role" "this" {
  for_each = var.trusts

  name                 = var.roles[each.key]
  assume_role_policy   = each.value
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "this" {
  for_each = merge([
    for part, documents in var.policies : {
      for name, document in documents : "${part}/${name}" => { part = part, name = name, document = document }
    } if contains(keys(var.trusts), part)
  ]...)

  name   = each.value.name
  role   = aws_iam_role.this[each.value.part].name
  policy = each.value.document
}

output "arns" {
  description = "Role ARN by part."
  value       = { for part, role in aws_iam_role.this : part => role.arn }
}
