# Each block of this module is wrong in one way, which its label names. The
# line that Terraform has to show for it ends with an arrow.
terraform {
  required_providers {
    foobar = { source = "foobar-stack/foobar" }
  }
}

provider "foobar" {
  deployment = "shop"
}

locals {
  web1      = { name = "web1", address = "10.0.0.1" }
  frontends = { http = { port = 80, backend = "web" } }
  servers   = { web1 = { address = "10.0.0.1", port = 80 } }
  backends  = { web = { servers = local.servers } }
  release   = { sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  main      = { machine = local.web1, name = "main", engine = "mariadb", server_id = 1, port = 3306 }
  members   = { web1 = { server = local.main } }
}
