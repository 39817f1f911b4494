# One long-running part of the product on Fargate: the worker, or the ingress. Tasks are alike, and are added and taken
# away freely: what they work on is in Temporal, and in the queue.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 6.25" }
  }
}

variable "name" {
  description = "Of the service."
  type        = string
}

variable "command" {
  type = list(string)
}

variable "health_check" {
  description = "A command in the container, as ECS takes it (CMD, …); a task on which it fails three times is replaced. null: none."
  type        = list(string)
  default     = null
}

variable "image" {
  type = string
}

variable "cpu" {
  description = "1024 for each virtual CPU."
  type        = number
}

variable "memory" {
  description = "MiB."
  type        = number
}

variable "tasks" {
  description = "How many at least and at most."
  type        = object({ min = number, max = number })
}

variable "environment" {
  type = map(string)
}

variable "secrets" {
  description = "Secret ARN by variable."
  type        = map(string)
}

variable "cluster" {
  type = object({ arn = string, name = string, security_group_id = string })
}

variable "subnet_ids" {
  type = list(string)
}

variable "task_role_arn" {
  type = string
}

variable "execution_role_arn" {
  type = string
}

variable "key_arn" {
  type = string
}

variable "region" {
  type = string
}

variable "log_group" {
  type = string
}

variable "log_retention_days" {
  type = number
}

variable "collector" {
  description = "The OpenTelemetry collector beside it: its image, and its configuration as YAML; null: none."
  type        = object({ image = string, configuration = string })
  default     = null
}

variable "scaled_by_queue" {
  description = "Name of a queue whose waiting messages add tasks; null: the CPU alone does."
  type        = string
  default     = null
}

resource "aws_cloudwatch_log_group" "this" {
  name              = var.log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}

locals {
  log_options = {
    awslogs-group  = aws_cloudwatch_log_group.this.name
    awslogs-region = var.region
  }

  collectors = var.collector == null ? [] : [{
    name  = "collector"
    image = var.collector.image
    # The product goes on without it.
    essential              = false
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    environment            = [{ name = "AOT_CONFIG_CONTENT", value = var.collector.configuration }]
    logConfiguration = {
      logDriver = "awslogs"
      options   = merge(local.log_options, { awslogs-stream-prefix = "collector" })
    }
  }]

  health = var.health_check == null ? {} : {
    healthCheck = { command = var.health_check, interval = 60, timeout = 20, retries = 3, startPeriod = 60 }
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = var.task_role_arn
  execution_role_arn       = var.execution_role_arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  container_definitions = jsonencode(concat([merge(local.health, {
    name                   = "migrator"
    image                  = var.image
    command                = var.command
    essential              = true
    readonlyRootFilesystem = true
    # A worker lets what it does come to an end: 30 s, and some to spare.
    stopTimeout     = 60
    linuxParameters = { initProcessEnabled = true, capabilities = { drop = ["ALL"] } }
    environment     = [for name, value in var.environment : { name = name, value = value }]
    secrets         = [for name, arn in var.secrets : { name = name, valueFrom = arn }]
    logConfiguration = {
      logDriver = "awslogs"
      options   = merge(local.log_options, { awslogs-stream-prefix = "migrator" })
    }
  })], local.collectors))
}

resource "aws_ecs_service" "this" {
  name                               = var.name
  cluster                            = var.cluster.arn
  task_definition                    = aws_ecs_task_definition.this.arn
  launch_type                        = "FARGATE"
  desired_count                      = var.tasks.min
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  propagate_tags                     = "SERVICE"

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.cluster.security_group_id]
    assign_public_ip = false
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  # Autoscaling says how many there are.
  lifecycle {
    ignore_changes = [desired_count]
  }
}

resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  resource_id        = "service/${var.cluster.name}/${aws_ecs_service.this.name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = var.tasks.min
  max_capacity       = var.tasks.max
}

resource "aws_appautoscaling_policy" "cpu" {
  name               = "cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  resource_id        = aws_appautoscaling_target.this.resource_id
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = 60
    scale_in_cooldown  = 600
    scale_out_cooldown = 60

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}

resource "aws_appautoscaling_policy" "queue" {
  count = var.scaled_by_queue == null ? 0 : 1

  name               = "queue"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  resource_id        = aws_appautoscaling_target.this.resource_id
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = 100
    scale_in_cooldown  = 600
    scale_out_cooldown = 60

    customized_metric_specification {
      namespace   = "AWS/SQS"
      metric_name = "ApproximateNumberOfMessagesVisible"
      statistic   = "Average"

      dimensions {
        name  = "QueueName"
        value = var.scaled_by_queue
      }
    }
  }
}

output "service_name" {
  value = aws_ecs_service.this.name
}

output "log_group" {
  value = aws_cloudwatch_log_group.this.name
}
