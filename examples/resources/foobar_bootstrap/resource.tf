terraform {
  required_providers {
    foobar = {
      source = "foobar-stack/foobar"
    }
    hcloud = {
      source = "hetznercloud/hcloud"
    }
  }
}

provider "foobar" {
  deployment = "shop" # the seed comes from FOOBAR_CA_SEED
}

locals {
  incarnation = 1 # raise it to rebuild the VM
}

resource "foobar_bootstrap" "web1" {
  name        = "web1"
  incarnation = local.incarnation
}

# Makes a new VM of each new incarnation, and of nothing else.
resource "terraform_data" "incarnation" {
  input = local.incarnation
}

resource "hcloud_server" "web1" {
  name        = "web1"
  image       = "foobar-appliance" # made from images/
  server_type = "cx22"
  user_data   = foobar_bootstrap.web1.user_data

  lifecycle {
    ignore_changes       = [user_data] # a VM reads it once, at its first boot
    replace_triggered_by = [terraform_data.incarnation]
  }
}

resource "foobar_machine" "web1" {
  name        = "web1"
  address     = hcloud_server.web1.ipv4_address
  incarnation = local.incarnation
}
