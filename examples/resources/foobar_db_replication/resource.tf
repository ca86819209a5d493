resource "foobar_machine" "web1" {
  name    = "web1"
  address = "10.0.0.1"
}

resource "foobar_machine" "web2" {
  name    = "web2"
  address = "10.0.0.2"
}

resource "foobar_machine" "lb1" {
  name    = "lb1"
  address = "10.0.0.10"
}

variable "password" {
  type      = string
  sensitive = true
  ephemeral = true
}

variable "reports_password" {
  type      = string
  sensitive = true
  ephemeral = true
}

resource "foobar_db_replication" "notes" {
  name    = "notes"
  primary = "web1"

  members = { # by the name of the machine
    web1 = { server = foobar_db_server.web1 }
    web2 = { server = foobar_db_server.web2 }
  }
  witnesses = { # they count in a majority, and need no database
    lb1 = foobar_machine.lb1
  }

  databases = {
    notes = {}
  }
  users = {
    notes = {
      password_wo         = var.password # neither the plan nor the state keeps it
      password_wo_version = 1            # raise it when the password changes
      grants              = { notes = ["ALL"] }
      require_tls         = true
    }
    reports = {
      password_wo         = var.reports_password
      password_wo_version = 1
      grants              = { notes = ["SELECT"] }
    }
  }

  # Consents count once for each token, and name what may go:
  # reseed = { node = "web2", token = "2026-05-01" }
  # drop   = { databases = ["old"], token = "2026-05-01" }
}

# Each member's server lets the other members in, and the app's machines.
resource "foobar_db_server" "web1" {
  machine          = foobar_machine.web1
  name             = "notes"
  engine           = "mariadb"
  listen_addresses = ["10.0.0.1"]
  allowed_clients  = [foobar_machine.web1.address, foobar_machine.web2.address]
}

resource "foobar_db_server" "web2" {
  machine          = foobar_machine.web2
  name             = "notes"
  engine           = "mariadb"
  listen_addresses = ["10.0.0.2"]
  allowed_clients  = [foobar_machine.web1.address, foobar_machine.web2.address]
}
