# The app that is released under load, beside the same one by hand: on web1 and
# web2, behind a load balancer. The machines are enrolled already.

terraform {
  required_providers {
    foobar = {
      source = "foobar-stack/foobar"
    }
  }
}

provider "foobar" {
  deployment = "demo"
}

variable "release" {
  description = "The app as one static program."
  type        = string
}

locals {
  servers = {
    web1 = "10.0.0.1"
    web2 = "10.0.0.2"
  }
}

resource "foobar_app_server" "bench" {
  for_each = local.servers

  machine      = { name = each.key, address = each.value }
  name         = "bench"
  port         = 8090
  release      = { source = var.release }
  command      = ["./app"]
  health_check = { path = "/healthz" }
}

resource "foobar_load_balancer" "release" {
  machine = { name = "lb1", address = "10.0.0.10" }
  name    = "release"

  frontends = {
    http = { port = 8090, backend = "app" }
  }

  backends = {
    app = {
      servers = {
        for name, server in foobar_app_server.bench : name => {
          address = local.servers[name]
          port    = server.port
        }
      }
    }
  }
}
