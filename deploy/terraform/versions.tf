terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 6.25" }
  }

  # Bucket, key and region are given at `terraform init`: README.md. The lock is a file beside the state.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = module.naming.tags
  }
}
