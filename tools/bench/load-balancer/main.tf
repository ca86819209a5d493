# The load balancer that is measured beside by-hand.cfg and that is changed
# under load. The machine is enrolled already, so its name and address do.

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

variable "change" {
  description = "What differs from the load balancer that is compared with the one written by hand."
  type = object({
    algorithm = optional(string)
    timeouts  = optional(map(string))
    weights   = optional(map(number), {})
    drained   = optional(set(string), [])
    added     = optional(map(object({ address = string, port = number })), {})
    removed   = optional(set(string), [])
  })
  default = {}
}

locals {
  servers = merge({
    web1 = { address = "10.0.0.1", port = 8080 }
    web2 = { address = "10.0.0.2", port = 8080 }
  }, var.change.added)
}

resource "foobar_load_balancer" "bench" {
  machine = { name = "lb1", address = "10.0.0.10" }
  name    = "bench"

  traffic_timeouts = var.change.timeouts

  frontends = {
    http = { port = 8080, backend = "web" }
  }

  backends = {
    web = {
      algorithm    = var.change.algorithm
      health_check = { path = "/health" }
      servers = {
        for name, server in local.servers : name => {
          address = server.address
          port    = server.port
          weight  = lookup(var.change.weights, name, null)
          drain   = contains(var.change.drained, name)
        } if !contains(var.change.removed, name)
      }
    }
  }
}
