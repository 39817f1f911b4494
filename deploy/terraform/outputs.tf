output "request_queue_url" {
  value = module.sqs.request_queue_url
}

output "dead_letter_queue_url" {
  value = module.sqs.dead_letter_queue_url
}

output "event_bus_arn" {
  value = module.eventbridge.arn
}

output "state_table" {
  value = module.dynamodb.name
}

output "state_table_arn" {
  value = module.dynamodb.arn
}

output "key_arn" {
  value = module.kms.arn
}

output "role_arns" {
  description = "By part: ingress, worker, execution, read-only, and build, plan, deploy where GitHub deploys."
  value       = module.iam.arns
}

output "target_role_name" {
  description = "For modules/target-account."
  value       = local.names.target_role
}

output "temporal_address" {
  value = module.temporal.address
}

output "api_endpoint" {
  description = "null, where there is no API."
  value       = one(module.api_gateway[*].endpoint)
}

output "notices_topic_arn" {
  description = "What people are told by: alarms, and decisions that are awaited."
  value       = module.observability.topic_arn
}

output "services" {
  description = "ECS services by part; the cluster has the name of the installation."
  value       = { cluster = module.cluster.name, worker = module.worker.service_name, ingress = module.ingress.service_name }
}

output "security_group_id" {
  description = "Of the tasks: for what is to let them in."
  value       = module.cluster.security_group_id
}

output "settings" {
  description = "The product's settings, for a command line outside of the containers."
  value       = local.settings
}
