# What the product needs, as policy documents: permissions.json is written from adapters/permissions.py, and
# `make check` says when it is out of date. Here its placeholders get names, and calls that act on machines conditions.
# No provider: `terraform test` runs it anywhere.

terraform {
  required_version = ">= 1.8"
}

variable "kind" {
  description = "Whose permissions: in our account, or in a target account."
  type        = string

  validation {
    condition     = contains(["our_account", "target_accounts"], var.kind)
    error_message = "kind is our_account or target_accounts."
  }
}

variable "partition" {
  type = string
}

variable "account_id" {
  description = "Where the resources are."
  type        = string
}

variable "regions" {
  description = "Where the resources are."
  type        = list(string)
}

variable "names" {
  description = "For the other placeholders of permissions.json, such as request_queue."
  type        = map(string)
  default     = {}
}

variable "narrowed" {
  description = "Action to the ARNs that it is allowed on here, instead of those of permissions.json."
  type        = map(list(string))
  default     = {}
}

locals {
  permissions = jsondecode(file("${path.module}/permissions.json"))[var.kind]

  # What AWS looks at besides the resource that permissions.json names (Service Authorization Reference).
  further = {
    "ec2:CreateSnapshots"          = ["arn:{partition}:ec2:{region}:{account}:volume/*", "arn:{partition}:ec2:{region}::snapshot/*"]
    "ec2:CreateTags"               = ["arn:{partition}:ec2:{region}::snapshot/*"]
    "mgn:AssociateApplications"    = ["arn:{partition}:mgn:{region}:{account}:application/*"]
    "mgn:DisassociateApplications" = ["arn:{partition}:mgn:{region}:{account}:application/*"]
    "mgn:AssociateSourceServers"   = ["arn:{partition}:mgn:{region}:{account}:source-server/*"]
    "mgn:DisassociateSourceServers" = [
      "arn:{partition}:mgn:{region}:{account}:source-server/*",
    ]
    # Applications, waves and jobs get their tags when they are made.
    "mgn:TagResource" = [
      "arn:{partition}:mgn:{region}:{account}:application/*",
      "arn:{partition}:mgn:{region}:{account}:wave/*",
      "arn:{partition}:mgn:{region}:{account}:job/*",
    ]
    # AWS's own documents belong to no account; those of hooks and post-launch actions may be of this one.
    "ssm:SendCommand" = [
      "arn:{partition}:ec2:{region}:{account}:instance/*",
      "arn:{partition}:ssm:{region}::document/AWS-RunShellScript",
      "arn:{partition}:ssm:{region}::document/AWS-RunPowerShellScript",
      "arn:{partition}:ssm:{region}:{account}:document/*",
    ]
  }

  # Machines are launched for good, stopped and terminated only by the migration whose tag they carry: the worker's
  # session for it has the same tag. (Not so a record that a failed prepare disconnects again: it may not have its tag
  # yet.)
  its_own = { StringEquals = { "aws:ResourceTag/migrator:migration-id" = "$${aws:PrincipalTag/migrator:migration-id}" } }
  conditions = {
    "ec2:StopInstances"            = local.its_own
    "mgn:FinalizeCutover"          = local.its_own
    "mgn:StartCutover"             = local.its_own
    "mgn:TerminateTargetInstances" = local.its_own
  }

  fixed = merge({ partition = var.partition, account = var.account_id }, var.names)

  templates = {
    for role, actions in local.permissions : role => {
      for action, resource in actions : action => concat([resource], try(local.further[action], []))
    }
  }

  # A template is cut at its placeholders, and put together again with what they stand for.
  resources = {
    for role, actions in local.templates : role => {
      for action, templates in actions : action => sort(distinct(try(var.narrowed[action], flatten([
        for template in templates : [
          for region in var.regions : join("", [
            for part in regexall("\\{[a-z_]+\\}|[^{}]+", template) :
            startswith(part, "{") ? merge(local.fixed, { region = region })[trim(part, "{}")] : part
          ])
        ]
      ]))))
    }
  }

  # Actions on the same resources, under the same condition, share a statement.
  statements = {
    for role, actions in local.resources : role => {
      for action, resources in actions :
      jsonencode([resources, try(local.conditions[action], null)]) => action...
      if length(resources) > 0
    }
  }

  documents = {
    for role, statements in local.statements : role => jsonencode({
      Version = "2012-10-17"
      Statement = [
        for key, actions in statements : {
          for name, value in {
            Effect    = "Allow"
            Action    = sort(actions)
            Resource  = jsondecode(key)[0]
            Condition = jsondecode(key)[1]
          } : name => value if value != null
        }
      ]
    })
  }

  looks = "^dynamodb:(BatchGetItem|GetItem|Query|Scan)$"
  read_only = {
    for role in ["read_model", "doctor"] : role => {
      for key, actions in try(local.statements[role], {}) : key => [
        for action in actions : action if role == "doctor" || can(regex(local.looks, action))
      ]
    }
  }
}

output "documents" {
  description = "Policy documents (JSON) by role of permissions.json."
  value       = local.documents
}

output "read_only" {
  description = "Policy document (JSON) of who looks only: the read model, and what the doctor asks."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = flatten([
      for role, statements in local.read_only : [
        for key, actions in statements : { Effect = "Allow", Action = sort(actions), Resource = jsondecode(key)[0] }
        if length(actions) > 0
      ]
    ])
  })
}
