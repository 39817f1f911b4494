# What migrates production. What is in angle brackets has to be filled in.

environment = "prod"
region      = "eu-central-1"

vpc_id           = "<vpc-0123456789abcdef0>"
subnet_ids       = ["<subnet-0123456789abcdef0>", "<subnet-0123456789abcdef1>"]
image_repository = "migrator"

worker  = { cpu = 1024, memory = 2048, tasks = { min = 2, max = 6 } }
ingress = { tasks = { min = 2, max = 4 } }

temporal = {
  kind           = "cloud"
  address        = "<namespace.account.tmprl.cloud:7233>"
  namespace      = "<namespace.account>"
  authentication = "mtls"
}

target_accounts   = ["<210987654321>", "<210987654322>"]
external_id       = "<16 characters or more>"
github_repository = "<OWNER/NAME>"
state_bucket      = "<bucket>"
state_key         = "migrator/prod.tfstate"
alarm_email       = "<on-call@example.com>"

log_retention_days  = 365
archive_days        = 365
deletion_protection = true
