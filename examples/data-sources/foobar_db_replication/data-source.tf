resource "foobar_machine" "web1" {
  name    = "web1"
  address = "10.0.0.1"
}

resource "foobar_db_server" "web1" {
  machine          = foobar_machine.web1
  name             = "notes"
  engine           = "mariadb"
  listen_addresses = ["10.0.0.1"]
}

resource "foobar_db_replication" "notes" {
  name      = "notes"
  primary   = "web1"
  members   = { web1 = { server = foobar_db_server.web1 } }
  databases = { notes = {} }
}

data "foobar_db_replication" "notes" {
  machine = foobar_machine.web1              # the primary's
  name    = foobar_db_replication.notes.name # a reference: it is read after the resource was applied
}

output "notes" {
  value = {
    primary  = data.foobar_db_replication.notes.current_primary
    epoch    = data.foobar_db_replication.notes.epoch
    writable = data.foobar_db_replication.notes.writable
    # members is null while the machine does not answer.
    states = try({ for name, member in data.foobar_db_replication.notes.members : name => member.state }, {})
  }
}
