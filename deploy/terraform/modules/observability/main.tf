# What AWS measures of the installation, and what it measures of itself where a collector runs: one dashboard, and alarms
# that tell the topic. What to do about each is in the alarm's own description.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 6.25" }
  }
}

variable "name" {
  type = string
}

variable "region" {
  type = string
}

variable "account_id" {
  type = string
}

variable "key_arn" {
  type = string
}

variable "alarm_email" {
  description = "Who is told; null: nobody, until somebody subscribes to the topic."
  type        = string
  default     = null
}

variable "request_queue" {
  type = string
}

variable "dead_letter_queue" {
  type = string
}

variable "state_table" {
  type = string
}

variable "event_bus" {
  type = string
}

variable "cluster" {
  type = string
}

variable "services" {
  description = "Least number of tasks by service."
  type        = map(number)
}

variable "log_groups" {
  description = "Log group by service, of those whose errors are counted."
  type        = map(string)
}

variable "metrics_log_group" {
  description = "Through which the product's own metrics come (deploy/telemetry/collector.yaml); null: they do not."
  type        = string
  default     = null
}

variable "log_retention_days" {
  type = number
}

locals {
  errors = "${var.name}/Errors"
  own    = "migrator"

  # What the product measures of itself, by the names of docs/metrics.md; docs/RUNBOOK.md has more of each.
  measured = {
    rollback-incomplete = {
      what       = "A rollback could not undo everything, and waits for a person: migrator list --phase ROLLBACK_INCOMPLETE."
      metric     = "migrator_migrations"
      dimensions = { phase = "ROLLBACK_INCOMPLETE" }
      statistic  = "Maximum", above = 0, minutes = 1
    }
    decision-waiting = {
      what       = "A migration has waited for a person for half an hour: migrator list --phase AWAITING_DECISION."
      metric     = "migrator_decision_wait_seconds"
      dimensions = { phase = "AWAITING_DECISION" }
      statistic  = "Maximum", above = 1800, minutes = 5
    }
    nobody-serves = {
      what       = "A cutover has lasted for two hours, and nobody serves its application: migrator list --phase CUTTING_OVER."
      metric     = "migrator_phase_age_seconds"
      dimensions = { phase = "CUTTING_OVER" }
      statistic  = "Maximum", above = 7200, minutes = 5
    }
    stuck-after-the-pivot = {
      what       = "A migration stands still after its point of no return: migrator list --phase FINALIZING."
      metric     = "migrator_phase_age_seconds"
      dimensions = { phase = "FINALIZING" }
      statistic  = "Maximum", above = 3600, minutes = 5
    }
    replication-lag = {
      what       = "The replication that approvals rest on is more than an hour behind: migrator status ID."
      metric     = "migrator_replication_lag_seconds"
      dimensions = { watched = "at_the_gate" }
      statistic  = "Maximum", above = 3600, minutes = 15
    }
    aws-access-denied = {
      what       = "AWS denies a call: migrator doctor --where ACCOUNT/REGION=ROLE_ARN names the permission."
      metric     = "migrator_calls_total"
      dimensions = { result = "denied" }
      statistic  = "Sum", above = 0, minutes = 15
    }
    aws-throttled = {
      what       = "AWS throttled more than a hundred calls in a quarter of an hour: fewer cutovers at once."
      metric     = "migrator_calls_total"
      dimensions = { result = "throttled" }
      statistic  = "Sum", above = 100, minutes = 15
    }
    callback-dead-letters = {
      what       = "Callbacks were given up, and can be sent again: migrator callbacks ID."
      metric     = "migrator_callback_dead_letters_total"
      dimensions = {}
      statistic  = "Sum", above = 0, minutes = 60
    }
  }

  # The widgets over the same metrics: title, metric, statistic, dimension, its values.
  drawn = [
    ["Migrations by phase", "migrator_migrations", "Maximum", "phase", ["REPLICATING", "AWAITING_APPROVAL", "CUTTING_OVER", "SOAKING", "AWAITING_DECISION", "ROLLING_BACK", "ROLLBACK_INCOMPLETE"]],
    ["Longest waits for a person (s)", "migrator_decision_wait_seconds", "Maximum", "phase", ["AWAITING_APPROVAL", "AWAITING_DECISION", "ROLLBACK_INCOMPLETE"]],
    ["Migrations ended", "migrator_migrations_ended_total", "Sum", "ending", ["COMPLETED", "ROLLED_BACK", "REJECTED", "CANCELLED", "FAILED"]],
    ["Worst replication lag (s)", "migrator_replication_lag_seconds", "Maximum", "watched", ["catching_up", "at_the_gate"]],
    ["Calls to other systems that were not answered well", "migrator_calls_total", "Sum", "result", ["throttled", "denied", "unavailable"]],
    ["Messages of the request queue", "migrator_ingress_messages_total", "Sum", "result", ["accepted", "refused", "ignored", "back"]],
  ]

  widgets = var.metrics_log_group == null ? [] : [
    for one in local.drawn : {
      title   = one[0]
      metrics = [for value in one[4] : [local.own, one[1], "installation", var.name, one[3], value, { stat = one[2] }]]
    }
  ]

  alarms = merge(
    {
      for name, alarm in local.measured : name => merge(alarm, {
        namespace  = local.own
        dimensions = merge(alarm.dimensions, { installation = var.name })
        absent     = "notBreaching"
      }) if var.metrics_log_group != null
    },
    {
      dead-letters = {
        what       = "A request was refused, or nobody could take it: migrator dlq list, show, redrive."
        namespace  = "AWS/SQS"
        metric     = "ApproximateNumberOfMessagesVisible"
        dimensions = { QueueName = var.dead_letter_queue }
        statistic  = "Maximum", above = 0, minutes = 1, absent = "notBreaching"
      }
      requests-wait = {
        what       = "A request waits for a quarter of an hour: does the ingress run, does Temporal answer? migrator doctor."
        namespace  = "AWS/SQS"
        metric     = "ApproximateAgeOfOldestMessage"
        dimensions = { QueueName = var.request_queue }
        statistic  = "Maximum", above = 900, minutes = 5, absent = "notBreaching"
      }
      table-errors = {
        what       = "DynamoDB fails: migrations go on, their read model catches up."
        namespace  = "AWS/DynamoDB"
        metric     = "SystemErrors"
        dimensions = { TableName = var.state_table, Operation = "UpdateItem" }
        statistic  = "Sum", above = 0, minutes = 15, absent = "notBreaching"
      }
      events-lost = {
        what       = "The bus could not hand over a request: the queue's policy, or its key's."
        namespace  = "AWS/Events"
        metric     = "FailedInvocations"
        dimensions = { EventBusName = var.event_bus, RuleName = "${var.event_bus}-requests" }
        statistic  = "Sum", above = 0, minutes = 5, absent = "notBreaching"
      }
    },
    {
      for service, group in var.log_groups : "${service}-errors" => {
        what       = "More than ten errors in five minutes in ${group}: read them."
        namespace  = local.errors
        metric     = service
        dimensions = {}
        statistic  = "Sum", above = 10, minutes = 5, absent = "notBreaching"
      }
    },
  )
}

resource "aws_cloudwatch_log_group" "metrics" {
  count = var.metrics_log_group == null ? 0 : 1

  name              = var.metrics_log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}

resource "aws_sns_topic" "this" {
  name              = "${var.name}-notices"
  kms_master_key_id = var.key_arn
}

resource "aws_sns_topic_policy" "this" {
  arn = aws_sns_topic.this.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = ["cloudwatch.amazonaws.com", "events.amazonaws.com"] }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.this.arn
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_sns_topic_subscription" "email" {
  count = var.alarm_email == null ? 0 : 1

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

resource "aws_cloudwatch_log_metric_filter" "errors" {
  for_each = var.log_groups

  name           = "errors"
  log_group_name = each.value
  pattern        = "{ $.level = \"error\" || $.level = \"critical\" }"

  metric_transformation {
    name      = each.key
    namespace = local.errors
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.what
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  period              = 60 * each.value.minutes
  evaluation_periods  = 1
  treat_missing_data  = each.value.absent
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
}

resource "aws_cloudwatch_metric_alarm" "running" {
  for_each = var.services

  alarm_name          = "${var.name}-${each.key}-runs"
  alarm_description   = "Fewer tasks of ${each.key} run than should: look at the service's events, then at its log."
  namespace           = "ECS/ContainerInsights"
  metric_name         = "RunningTaskCount"
  dimensions          = { ClusterName = var.cluster, ServiceName = "${var.name}-${each.key}" }
  statistic           = "Minimum"
  comparison_operator = "LessThanThreshold"
  threshold           = each.value
  period              = 60
  evaluation_periods  = 5
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [
      for number, widget in concat(local.widgets, [
        { title = "Requests waiting", metrics = [["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", var.request_queue]] },
        { title = "Age of the oldest request (s)", metrics = [["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", var.request_queue]] },
        { title = "Dead letters", metrics = [["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", var.dead_letter_queue]] },
        { title = "Tasks running", metrics = [for service in keys(var.services) : ["ECS/ContainerInsights", "RunningTaskCount", "ClusterName", var.cluster, "ServiceName", "${var.name}-${service}"]] },
        { title = "CPU (%)", metrics = [for service in keys(var.services) : ["AWS/ECS", "CPUUtilization", "ClusterName", var.cluster, "ServiceName", "${var.name}-${service}"]] },
        { title = "Errors in the logs", metrics = [for service in keys(var.log_groups) : [local.errors, service]] },
        ]) : {
        type       = "metric"
        x          = 12 * (number % 2)
        y          = 6 * floor(number / 2)
        width      = 12
        height     = 6
        properties = { title = widget.title, metrics = widget.metrics, region = var.region, view = "timeSeries", period = 60 }
      }
    ]
  })
}

output "topic_arn" {
  value = aws_sns_topic.this.arn
}
