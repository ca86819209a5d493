terraform {
  required_version = ">= 1.11"

  required_providers {
    foobar = {
      source = "foobar-stack/foobar"
    }
  }
}

# The seed of the deployment's CA comes from the environment variable FOOBAR_CA_SEED.
provider "foobar" {
  deployment = "demo" # the name of the lab's; your own machines get a name of your choice
}

locals {
  web = { web1 = "10.0.0.1", web2 = "10.0.0.2" } # the machines that run the app
}

# Three VMs that were booted from the image.
resource "foobar_machine" "lb1" {
  name    = "lb1"
  address = "10.0.0.10"
}

resource "foobar_machine" "web" {
  for_each = local.web
  name     = each.key
  address  = each.value
}

# The app, once on each of the two machines, behind an nginx of its own.
resource "foobar_app_server" "notes" {
  for_each = foobar_machine.web
  machine  = each.value
  name     = "notes"

  release      = { source = "notes.tar.gz" } # made by examples/apps/notes/pack.sh
  command      = ["python3", "-m", "uvicorn", "main:app", "--uds", "$SOCKET"]
  health_check = { path = "/healthz" }
  port         = 8080

  # lb1: only a load balancer that is listed here learns that the app is down, and sends its requests to the other server.
  trusted_proxies = ["${foobar_machine.lb1.address}/32"]
}

# HAProxy on lb1, in front of both. It refers to the app servers, so that Terraform makes it when they answer.
resource "foobar_load_balancer" "www" {
  machine = foobar_machine.lb1
  name    = "www"

  frontends = {
    http = { port = 80, backend = "web" }
  }
  backends = {
    web = {
      health_check = { path = "/_foobar/health" }
      servers      = { for name, app in foobar_app_server.notes : name => { address = local.web[name], port = app.port } }
    }
  }
}
