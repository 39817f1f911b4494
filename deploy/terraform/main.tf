# One installation of migrator in one account and region. Names and policy documents come from modules without a
# provider, which `terraform test` runs; everything else makes what they name.

data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}

locals {
  account   = data.aws_caller_identity.here.account_id
  partition = data.aws_partition.here.partition
  names     = module.naming
  role_arn  = "arn:${local.partition}:iam::${local.account}:role"

  request_rule = "${local.names.event_bus}-requests"
  target_roles = [
    for account in var.target_accounts : "arn:${local.partition}:iam::${account}:role/${local.names.target_role}"
  ]

  # The settings of migration/settings.py; a test compares the names.
  settings = merge(
    {
      MIGRATOR_STATE_TABLE           = module.dynamodb.name
      MIGRATOR_STATE_REGION          = var.region
      MIGRATOR_REQUEST_QUEUE_URL     = module.sqs.request_queue_url
      MIGRATOR_DEAD_LETTER_QUEUE_URL = module.sqs.dead_letter_queue_url
      MIGRATOR_EVENT_BUS             = module.eventbridge.name
      MIGRATOR_EXTERNAL_ID           = var.external_id
      MIGRATOR_LOG_LEVEL             = var.log_level
    },
    var.metrics ? { MIGRATOR_METRICS_ADDRESS = "127.0.0.1:9464" } : {},
    var.settings,
  )
  environment = merge(local.settings, module.temporal.environment)
  secrets     = merge(var.secret_settings, module.temporal.secrets)

  # By the standard variables of OpenTelemetry (docs/tracing.md).
  traces = {
    for part in ["worker", "ingress"] : part => var.tracing ? {
      OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:4318"
      OTEL_SERVICE_NAME           = "${local.names.prefix}-${part}"
    } : {}
  }
  # One collector beside a task, with the pipelines that are wanted.
  telemetry = yamldecode(file("${path.root}/../telemetry/collector.yaml"))
  pipelines = [for name, wanted in { metrics = var.metrics, traces = var.tracing } : name if wanted]
  collector = length(local.pipelines) > 0 ? {
    image = var.collector_image
    configuration = yamlencode(merge(local.telemetry, {
      service = { pipelines = { for name in local.pipelines : name => local.telemetry.service.pipelines[name] } }
    }))
    environment = {
      INSTALLATION      = local.names.prefix
      METRICS_LOG_GROUP = local.names.log_groups["metrics"]
    }
  } : null
  collector_policies = { for name in local.pipelines : name => module.platform_policies.collector[name] }
}

module "naming" {
  source = "./modules/naming"

  project_name = var.project_name
  environment  = var.environment
}

module "policies" {
  source = "./modules/policies"

  kind       = "our_account"
  partition  = local.partition
  account_id = local.account
  regions    = [var.region]
  names = {
    request_queue     = local.names.request_queue
    dead_letter_queue = local.names.dead_letter_queue
    state_table       = local.names.state_table
    event_bus         = local.names.event_bus
  }
  narrowed = {
    "sts:AssumeRole" = local.target_roles
    "sts:TagSession" = local.target_roles
    "secretsmanager:GetSecretValue" = concat(
      ["arn:${local.partition}:secretsmanager:${var.region}:${local.account}:secret:${local.names.secrets}/*"],
      var.secret_arns,
    )
    "iam:SimulatePrincipalPolicy" = [for part in ["ingress", "worker"] : "${local.role_arn}/${local.names.roles[part]}"]
  }
}

module "platform_policies" {
  source = "./modules/platform-policies"

  partition            = local.partition
  region               = var.region
  account_id           = local.account
  prefix               = local.names.prefix
  log_path             = "/${var.project_name}/${var.environment}"
  image_repository     = var.image_repository
  injected_secret_arns = values(local.secrets)
  key_arns             = concat([module.kms.arn], var.secret_key_arns)
  github_repository    = var.github_repository
  environment          = var.environment
  state_bucket         = var.state_bucket
  state_key            = var.state_key
}

module "kms" {
  source = "./modules/kms"

  alias  = local.names.key_alias
  policy = module.platform_policies.key
}

module "sqs" {
  source = "./modules/sqs"

  request_queue     = local.names.request_queue
  dead_letter_queue = local.names.dead_letter_queue
  key_arn           = module.kms.arn
  sender_rule_arn   = "arn:${local.partition}:events:${var.region}:${local.account}:rule/${local.names.event_bus}/${local.request_rule}"
}

module "dynamodb" {
  source = "./modules/dynamodb"

  name                = local.names.state_table
  key_arn             = module.kms.arn
  deletion_protection = var.deletion_protection
}

module "eventbridge" {
  source = "./modules/eventbridge"

  name               = local.names.event_bus
  key_arn            = module.kms.arn
  request_queue_arn  = module.sqs.request_queue_arn
  request_rule       = local.request_rule
  topic_arn          = module.observability.topic_arn
  log_group          = local.names.event_log_group
  log_retention_days = var.log_retention_days
  archive_days       = var.archive_days
}

module "iam" {
  source = "./modules/iam"

  roles = local.names.roles
  trusts = merge(
    {
      ingress   = module.platform_policies.ecs_trust
      worker    = module.platform_policies.ecs_trust
      execution = module.platform_policies.ecs_trust
      read-only = module.platform_policies.account_trust
    },
    module.platform_policies.github_trusts,
  )
  policies = {
    ingress = merge(local.collector_policies, {
      ingress = module.policies.documents["ingress"]
      doctor  = module.policies.documents["doctor"]
      key     = module.platform_policies.key_use["ingress"]
    })
    worker = merge(local.collector_policies, {
      orchestrate = module.policies.documents["orchestrate"]
      read-model  = module.policies.documents["read_model"]
      doctor      = module.policies.documents["doctor"]
      key         = module.platform_policies.key_use["worker"]
    })
    execution = {
      execution = module.platform_policies.execution
      key       = module.platform_policies.key_use["execution"]
    }
    read-only = {
      read-only = module.policies.read_only
      key       = module.platform_policies.key_use["read_only"]
    }
    build = {
      build = module.platform_policies.build
    }
    plan = {
      plan = module.platform_policies.plan
    }
    deploy = {
      deploy = module.platform_policies.deploy
    }
  }
}

module "temporal" {
  source = "./modules/temporal"

  secrets_prefix = local.names.secrets
  key_arn        = module.kms.arn
  kind           = var.temporal.kind
  address        = var.temporal.address
  namespace      = var.temporal.namespace
  authentication = var.temporal.authentication
}

module "cluster" {
  source = "./modules/cluster"

  name   = local.names.prefix
  vpc_id = var.vpc_id
}

module "worker" {
  source = "./modules/worker"

  name               = "${local.names.prefix}-worker"
  command            = ["python", "-m", "worker"]
  health_check       = ["CMD", "migrator", "alive"]
  image              = var.image
  cpu                = var.worker.cpu
  memory             = var.worker.memory
  tasks              = var.worker.tasks
  environment        = merge(local.environment, local.traces["worker"])
  collector          = local.collector
  secrets            = local.secrets
  cluster            = module.cluster
  subnet_ids         = var.subnet_ids
  task_role_arn      = module.iam.arns["worker"]
  execution_role_arn = module.iam.arns["execution"]
  key_arn            = module.kms.arn
  region             = var.region
  log_group          = local.names.log_groups["worker"]
  log_retention_days = var.log_retention_days
}

module "ingress" {
  source = "./modules/worker"

  name               = "${local.names.prefix}-ingress"
  command            = ["migrator", "ingress"]
  image              = var.image
  cpu                = var.ingress.cpu
  memory             = var.ingress.memory
  tasks              = var.ingress.tasks
  environment        = merge(local.environment, local.traces["ingress"])
  collector          = local.collector
  secrets            = module.temporal.secrets
  cluster            = module.cluster
  subnet_ids         = var.subnet_ids
  task_role_arn      = module.iam.arns["ingress"]
  execution_role_arn = module.iam.arns["execution"]
  key_arn            = module.kms.arn
  region             = var.region
  log_group          = local.names.log_groups["ingress"]
  log_retention_days = var.log_retention_days
  scaled_by_queue    = local.names.request_queue
}

module "api_gateway" {
  source = "./modules/api-gateway"
  count  = var.api_enabled ? 1 : 0

  name               = local.names.prefix
  request_queue_url  = module.sqs.request_queue_url
  request_queue_arn  = module.sqs.request_queue_arn
  key_arn            = module.kms.arn
  account_id         = local.account
  log_group          = local.names.log_groups["api"]
  log_retention_days = var.log_retention_days
}

module "observability" {
  source = "./modules/observability"

  name               = local.names.prefix
  region             = var.region
  account_id         = local.account
  key_arn            = module.kms.arn
  alarm_email        = var.alarm_email
  request_queue      = local.names.request_queue
  dead_letter_queue  = local.names.dead_letter_queue
  state_table        = local.names.state_table
  event_bus          = local.names.event_bus
  cluster            = local.names.prefix
  services           = { worker = var.worker.tasks.min, ingress = var.ingress.tasks.min }
  log_groups         = { worker = module.worker.log_group, ingress = module.ingress.log_group }
  log_retention_days = var.log_retention_days
  metrics_log_group  = var.metrics ? local.names.log_groups["metrics"] : null
}
