# A load balancer with HAProxy, and two servers with nginx, app server and app;
# the database of each server is in databases.tf.

provider "foobar" {
  deployment = var.deployment
}

locals {
  machines = { # each with its private address
    lb1  = "10.0.0.10"
    web1 = "10.0.0.1"
    web2 = "10.0.0.2"
  }
  app_servers = ["web1", "web2"]
}

# What each VM needs at its first boot: its name, the CA and the key that enrols it.
resource "foobar_bootstrap" "vm" {
  for_each = local.machines

  name        = each.key
  incarnation = lookup(var.incarnations, each.key, 1)
}

# In the demo the lab has booted the VMs. In a cloud they stand here, made from
# the image that images/ builds; only lb1 gets a public address:
#
#   resource "hcloud_server" "vm" {
#     for_each = local.machines
#
#     name        = each.key
#     server_type = "cx22"
#     image       = var.image_id
#     user_data   = foobar_bootstrap.vm[each.key].user_data
#
#     network {
#       network_id = hcloud_network.private.id
#       ip         = each.value
#     }
#     public_net {
#       ipv4_enabled = each.key == "lb1"
#       ipv6_enabled = each.key == "lb1"
#     }
#     lifecycle {
#       ignore_changes = [user_data] # it is read once
#     }
#   }

# The VMs, enrolled: from here on they obey this configuration and nobody else.
resource "foobar_machine" "vm" {
  for_each = local.machines

  name        = each.key
  address     = each.value # in a cloud: one(hcloud_server.vm[each.key].network[*].ip)
  incarnation = foobar_bootstrap.vm[each.key].incarnation
}

module "notes" {
  source = "../../modules/web-pair"

  name = "notes"

  load_balancer = {
    machine = foobar_machine.vm["lb1"]
    address = local.machines["lb1"]
  }
  app_servers = {
    for name in local.app_servers : name => {
      machine     = foobar_machine.vm[name]
      address     = local.machines[name]
      environment = { NOTES_SERVER = name }
    }
  }

  environment     = local.database
  secrets         = { NOTES_DB_PASSWORD = var.database_password }
  secrets_version = var.database_password_version

  release = var.release
  command = [
    "python3", "-m", "uvicorn", "main:app",
    "--uds", "$SOCKET",
    "--proxy-headers", "--forwarded-allow-ips", "*", # only nginx reaches the socket
    "--timeout-graceful-shutdown", "20",
    "--no-access-log", # nginx writes it
  ]
  health_path      = "/healthz"
  min_healthy_time = "2s" # for a quick demo; the default, 10s, finds releases that fail later
  liveness         = { path = "/healthz" }
  agent_check_port = 8081

  max_connections = 5000
}
