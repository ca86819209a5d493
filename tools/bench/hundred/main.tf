# A hundred resources: three machines, and load balancers on all of them, each
# a HAProxy of its own.

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

locals {
  addresses = { lb1 = "10.0.0.10", web1 = "10.0.0.1", web2 = "10.0.0.2" }
  machines  = keys(local.addresses)
  count     = 100 - length(local.machines)
}

resource "foobar_machine" "vm" {
  for_each = local.addresses

  name    = each.key
  address = each.value
}

resource "foobar_load_balancer" "many" {
  count = local.count

  machine = foobar_machine.vm[local.machines[count.index % length(local.machines)]]
  name    = "many-${count.index}"

  max_connections = 100

  frontends = {
    http = { port = 10000 + count.index, backend = "web" }
  }

  backends = {
    web = {
      servers = {
        web1 = { address = "10.0.0.1", port = 8080 }
        web2 = { address = "10.0.0.2", port = 8080 }
      }
    }
  }
}
