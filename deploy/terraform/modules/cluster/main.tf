# Where the containers run, and what they may connect to: out, and nobody in.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 6.25" }
  }
}

variable "name" {
  type = string
}

variable "vpc_id" {
  type = string
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_security_group" "tasks" {
  name        = "${var.name}-tasks"
  description = "Workers and ingress of ${var.name}"
  vpc_id      = var.vpc_id
}

# Health checks go to any port of a launched address, vCenter and ServiceNow are where they are.
resource "aws_vpc_security_group_egress_rule" "out" {
  security_group_id = aws_security_group.tasks.id
  description       = "AWS, Temporal, the data centre, and the applications that are looked at"
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}

output "arn" {
  value = aws_ecs_cluster.this.arn
}

output "name" {
  value = aws_ecs_cluster.this.name
}

output "security_group_id" {
  value = aws_security_group.tasks.id
}
