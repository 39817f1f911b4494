# Policy documents of what is not the product's own calls: who may take a role, what starts containers, what deploys,
# and what the key lets AWS's services do. No provider: `terraform test` runs it anywhere.

terraform {
  required_version = ">= 1.8"
}

variable "partition" {
  type = string
}

variable "region" {
  type = string
}

variable "account_id" {
  type = string
}

variable "prefix" {
  description = "Begins every name of the installation."
  type        = string
}

variable "log_path" {
  description = "Begins the name of every log group of the installation, such as /migrator/dev."
  type        = string
}

variable "image_repository" {
  description = "Name of the ECR repository that images come from."
  type        = string
}

variable "injected_secret_arns" {
  description = "Secrets that containers get as environment variables."
  type        = list(string)
}

variable "key_arns" {
  description = "The installation's key, and those of secrets that have another."
  type        = list(string)
}

variable "github_repository" {
  description = "OWNER/NAME; null: no roles for its jobs."
  type        = string
  default     = null
}

variable "environment" {
  description = "The GitHub environment whose jobs deploy; those of plan-ENVIRONMENT plan, and those of build push images."
  type        = string
}

variable "state_bucket" {
  description = "S3 bucket of the Terraform state."
  type        = string
}

variable "state_key" {
  description = "Key of the Terraform state in its bucket."
  type        = string
}

locals {
  arn = "arn:${var.partition}"
  at  = "${var.region}:${var.account_id}"

  services = {
    for service in ["dynamodb", "secretsmanager", "sqs"] : service => "${service}.${var.region}.amazonaws.com"
  }

  # A queue's messages, a table's rows and secrets are read and written by the product; the service asks the key for it.
  key_use = {
    for part, services in {
      ingress   = ["sqs"]
      worker    = ["dynamodb", "secretsmanager"]
      read_only = ["dynamodb"]
      execution = ["secretsmanager"]
    } : part => [for service in services : local.services[service]]
  }

  # Everything that belongs to the installation by its name. Deploying changes nothing else.
  deploy_actions = {
    "${local.arn}:sqs:${local.at}:${var.prefix}-*" = [
      "sqs:CreateQueue", "sqs:DeleteQueue", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SetQueueAttributes",
      "sqs:ListQueueTags", "sqs:TagQueue", "sqs:UntagQueue",
    ]
    "${local.arn}:dynamodb:${local.at}:table/${var.prefix}-*" = [
      "dynamodb:CreateTable", "dynamodb:DeleteTable", "dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTable",
      "dynamodb:DescribeTimeToLive", "dynamodb:ListTagsOfResource", "dynamodb:TagResource", "dynamodb:UntagResource",
      "dynamodb:UpdateContinuousBackups", "dynamodb:UpdateTable", "dynamodb:UpdateTimeToLive",
    ]
    "${local.arn}:events:${local.at}:event-bus/${var.prefix}" = [
      "events:CreateEventBus", "events:DeleteEventBus", "events:DescribeEventBus", "events:UpdateEventBus",
      "events:ListTagsForResource", "events:TagResource", "events:UntagResource",
    ]
    "${local.arn}:events:${local.at}:archive/${var.prefix}" = [
      "events:CreateArchive", "events:DeleteArchive", "events:DescribeArchive", "events:UpdateArchive",
    ]
    "${local.arn}:events:${local.at}:rule/${var.prefix}*" = [
      "events:DeleteRule", "events:DescribeRule", "events:ListTagsForResource", "events:ListTargetsByRule",
      "events:PutRule", "events:PutTargets", "events:RemoveTargets", "events:TagResource", "events:UntagResource",
    ]
    "${local.arn}:sns:${local.at}:${var.prefix}-*" = [
      "sns:CreateTopic", "sns:DeleteTopic", "sns:GetSubscriptionAttributes", "sns:GetTopicAttributes",
      "sns:ListTagsForResource", "sns:SetTopicAttributes", "sns:Subscribe", "sns:TagResource", "sns:Unsubscribe",
      "sns:UntagResource",
    ]
    "${local.arn}:logs:${local.at}:log-group:${var.log_path}/*" = [
      "logs:AssociateKmsKey", "logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:DeleteMetricFilter",
      "logs:DeleteRetentionPolicy", "logs:DisassociateKmsKey", "logs:ListTagsForResource", "logs:PutMetricFilter",
      "logs:PutRetentionPolicy", "logs:TagResource", "logs:UntagResource",
    ]
    "${local.arn}:logs:${local.at}:log-group:/aws/events/${var.prefix}*" = [
      "logs:AssociateKmsKey", "logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:ListTagsForResource",
      "logs:PutRetentionPolicy", "logs:TagResource", "logs:UntagResource",
    ]
    "${local.arn}:secretsmanager:${local.at}:secret:${var.prefix}/*" = [
      "secretsmanager:CreateSecret", "secretsmanager:DeleteSecret", "secretsmanager:DescribeSecret",
      "secretsmanager:GetResourcePolicy", "secretsmanager:TagResource", "secretsmanager:UntagResource",
      "secretsmanager:UpdateSecret",
    ]
    "${local.arn}:ecs:${local.at}:cluster/${var.prefix}" = [
      "ecs:CreateCluster", "ecs:DeleteCluster", "ecs:DescribeClusters", "ecs:ListTagsForResource", "ecs:TagResource",
      "ecs:UntagResource", "ecs:UpdateCluster", "ecs:UpdateClusterSettings",
    ]
    "${local.arn}:ecs:${local.at}:service/${var.prefix}/*" = [
      "ecs:CreateService", "ecs:DeleteService", "ecs:DescribeServices", "ecs:ListTagsForResource", "ecs:TagResource",
      "ecs:UntagResource", "ecs:UpdateService",
    ]
    "${local.arn}:ecs:${local.at}:task-definition/${var.prefix}-*" = [
      "ecs:RegisterTaskDefinition", "ecs:ListTagsForResource", "ecs:TagResource", "ecs:UntagResource",
    ]
    "${local.arn}:application-autoscaling:${local.at}:scalable-target/*" = [
      "application-autoscaling:DeleteScalingPolicy", "application-autoscaling:DeregisterScalableTarget",
      "application-autoscaling:ListTagsForResource", "application-autoscaling:PutScalingPolicy",
      "application-autoscaling:RegisterScalableTarget", "application-autoscaling:TagResource",
      "application-autoscaling:UntagResource",
    ]
    "${local.arn}:cloudwatch:${local.at}:alarm:${var.prefix}-*" = [
      "cloudwatch:DeleteAlarms", "cloudwatch:ListTagsForResource", "cloudwatch:PutMetricAlarm",
      "cloudwatch:TagResource", "cloudwatch:UntagResource",
    ]
    "${local.arn}:cloudwatch::${var.account_id}:dashboard/${var.prefix}" = [
      "cloudwatch:DeleteDashboards", "cloudwatch:GetDashboard", "cloudwatch:PutDashboard",
    ]
    "${local.arn}:s3:::${var.state_bucket}/${var.state_key}"        = ["s3:GetObject", "s3:PutObject"]
    "${local.arn}:s3:::${var.state_bucket}/${var.state_key}.tflock" = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    "${local.arn}:s3:::${var.state_bucket}"                         = ["s3:ListBucket"]
    "${local.arn}:apigateway:${var.region}::/apis/*"                = ["apigateway:GET"]
    # Roles, policies, the key and the network are an administrator's: deploying reads them, and hands over two of them.
    "${local.arn}:iam::${var.account_id}:role/${var.prefix}-*" = [
      "iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies",
    ]
    # AWS knows no narrower resource for these: looks, and to say that a version of a task definition is not used any more.
    "*" = [
      "application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScalingPolicies",
      "cloudwatch:DescribeAlarms", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroupRules",
      "ec2:DescribeSecurityGroups", "ecs:DeregisterTaskDefinition",
      "ecs:DescribeTaskDefinition", "iam:ListOpenIDConnectProviders", "kms:ListAliases", "logs:DescribeLogGroups",
      "logs:DescribeMetricFilters", "logs:DescribeResourcePolicies",
    ]
  }

  looks = "^[a-z0-9-]+:(Describe|GET|Get|List)"

  # The jobs of the pipeline, and the one subject whose tokens take the role of each (docs of GitHub, "OpenID Connect").
  subjects = var.github_repository == null ? {} : {
    build  = "repo:${var.github_repository}:environment:build"
    plan   = "repo:${var.github_repository}:environment:plan-${var.environment}"
    deploy = "repo:${var.github_repository}:environment:${var.environment}"
  }

  handed_over = {
    Effect    = "Allow"
    Action    = ["iam:PassRole"]
    Resource  = [for part in ["ingress", "worker", "execution"] : "${local.arn}:iam::${var.account_id}:role/${var.prefix}-${part}"]
    Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
  }

  key_read = {
    Effect   = "Allow"
    Action   = ["kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListResourceTags"]
    Resource = var.key_arns
  }

  # Encrypting a queue, a table, a log group or a secret takes a grant, which only the service may use.
  key_given = {
    Effect    = "Allow"
    Action    = ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"]
    Resource  = var.key_arns
    Condition = { StringEquals = { "kms:ViaService" = sort(values(local.services)) } }
  }
}

output "ecs_trust" {
  description = "Tasks of this account take the role, and nobody through them (confused deputy)."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account_id }
        ArnLike      = { "aws:SourceArn" = "${local.arn}:ecs:${local.at}:*" }
      }
    }]
  })
}

output "account_trust" {
  description = "Who of this account is allowed to assume the role by policies of their own."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { AWS = "${local.arn}:iam::${var.account_id}:root" }
    }]
  })
}

output "github_trusts" {
  description = "By job: tokens of one environment of one repository take the role; the subject is compared as a whole."
  value = {
    for job, subject in local.subjects : job => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Action    = "sts:AssumeRoleWithWebIdentity"
        Principal = { Federated = "${local.arn}:iam::${var.account_id}:oidc-provider/token.actions.githubusercontent.com" }
        Condition = {
          StringEquals = {
            "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
            "token.actions.githubusercontent.com:sub" = subject
          }
        }
      }]
    })
  }
}

output "key_use" {
  description = "Policy documents by part: the key, only through the services that the part calls."
  value = {
    for part, services in local.key_use : part => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"]
        Resource  = var.key_arns
        Condition = { StringEquals = { "kms:ViaService" = services } }
      }]
    })
  }
}

output "execution" {
  description = "What ECS needs before a container runs: its image, its secrets, its log."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        # GetAuthorizationToken knows no resources.
        { Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = ["*"] },
        {
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = ["${local.arn}:ecr:${local.at}:repository/${var.image_repository}"]
        },
        {
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = ["${local.arn}:logs:${local.at}:log-group:${var.log_path}/*:log-stream:*"]
        },
      ],
      [
        for arns in [var.injected_secret_arns] :
        { Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = arns } if length(arns) > 0
      ],
    )
  })
}

output "collector" {
  description = "What a collector needs, by pipeline: metrics come to CloudWatch as lines of one log group, traces to X-Ray."
  value = {
    for pipeline, statement in {
      metrics = {
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${local.arn}:logs:${local.at}:log-group:${var.log_path}/metrics:log-stream:*"]
      }
      # X-Ray's writes know no resources.
      traces = {
        Effect   = "Allow"
        Action   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
        Resource = ["*"]
      }
    } : pipeline => jsonencode({ Version = "2012-10-17", Statement = [statement] })
  }
}

output "build" {
  description = "Pushes images, to the one repository."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # GetAuthorizationToken knows no resources.
      { Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = ["*"] },
      {
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload",
          "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
        ]
        Resource = ["${local.arn}:ecr:${local.at}:repository/${var.image_repository}"]
      },
    ]
  })
}

output "plan" {
  description = "What `terraform plan -lock=false` of this configuration calls: it only looks."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        for resource, actions in local.deploy_actions : {
          Effect   = "Allow"
          Action   = sort([for action in actions : action if can(regex(local.looks, action))])
          Resource = [resource]
        } if anytrue([for action in actions : can(regex(local.looks, action))])
      ],
      [local.key_read],
    )
  })
}

output "deploy" {
  description = "What `terraform apply` of this configuration calls, but for what an administrator applies."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [for resource, actions in local.deploy_actions : { Effect = "Allow", Action = sort(actions), Resource = [resource] }],
      [local.handed_over, local.key_read, local.key_given],
    )
  })
}

output "key" {
  description = "The key's own policy: its account's policies count, and AWS's services use it for this account alone."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "PoliciesOfThisAccount"
        Effect    = "Allow"
        Action    = "kms:*"
        Resource  = "*"
        Principal = { AWS = "${local.arn}:iam::${var.account_id}:root" }
      },
      {
        Sid       = "LogGroupsOfThisInstallation"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Principal = { Service = "logs.${var.region}.amazonaws.com" }
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:logs:arn" = [
              "${local.arn}:logs:${local.at}:log-group:${var.log_path}/*",
              "${local.arn}:logs:${local.at}:log-group:/aws/events/${var.prefix}",
            ]
          }
        }
      },
      {
        Sid       = "EventsToQueuesAndTopics"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
        Resource  = "*"
        Principal = { Service = ["cloudwatch.amazonaws.com", "events.amazonaws.com"] }
        Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
      },
    ]
  })
}
