terraform {
  required_version = ">= 1.11"

  required_providers {
    foobar = {
      source = "foobar-stack/foobar"
    }
  }
}

# The seed of the CA is the one secret: 32 random bytes, made once with
#   openssl rand -base64 32
# Terraform stores an ephemeral variable nowhere. Left out, the environment
# variable FOOBAR_CA_SEED takes its place.
variable "ca_seed" {
  type      = string
  sensitive = true
  ephemeral = true
}

provider "foobar" {
  deployment = "shop"
  ca_seed    = var.ca_seed

  # Machines that no longer exist. Their resources can be destroyed without
  # contacting them:
  # forget_unreachable = ["web2"]
}
