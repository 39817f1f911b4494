# A small installation to try things in. What is in angle brackets has to be filled in.

environment = "dev"
region      = "eu-central-1"

vpc_id           = "<vpc-0123456789abcdef0>"
subnet_ids       = ["<subnet-0123456789abcdef0>"]
image_repository = "migrator"

worker  = { cpu = 512, memory = 1024, tasks = { min = 1, max = 2 } }
ingress = { tasks = { min = 1, max = 1 } }

temporal = {
  kind      = "cloud"
  address   = "<namespace.account.tmprl.cloud:7233>"
  namespace = "<namespace.account>"
}

target_accounts   = ["<210987654321>"]
external_id       = "<16 characters or more>"
github_repository = "<OWNER/NAME>"
state_bucket      = "<bucket>"
state_key         = "migrator/dev.tfstate"

log_level           = "DEBUG"
log_retention_days  = 14
archive_days        = 14
deletion_protection = false
