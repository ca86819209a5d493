# Two database servers: one takes the writes, the other follows it and serves reads.

resource "foobar_db_server" "this" {
  for_each = var.members

  machine = each.value.machine
  name    = var.name
  engine  = var.engine

  listen_addresses = [each.value.address]
  port             = var.port

  # The app's machines, and each other: one follows the other.
  allowed_clients = setunion(var.clients, [for member in var.members : member.address])

  settings = var.settings
}

resource "foobar_db_replication" "this" {
  name    = var.name
  primary = var.primary

  members = {
    for name, member in var.members : name => {
      server  = foobar_db_server.this[name]
      address = member.address
    }
  }
  witnesses = var.witnesses

  databases = {
    (var.database) = {}
  }
  users = {
    (var.user) = {
      password_wo         = var.password
      password_wo_version = var.password_version
      grants              = { (var.database) = ["ALL"] }
      require_tls         = true
    }
  }

  reseed = var.reseed
  drop   = var.drop
}
