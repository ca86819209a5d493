resource "foobar_machine" "web1" {
  name    = "web1"
  address = "10.0.0.1"
}

resource "foobar_db_server" "notes" {
  machine          = foobar_machine.web1
  name             = "notes"
  engine           = "mariadb"
  listen_addresses = ["10.0.0.1"]
}

data "foobar_db_server" "notes" {
  machine = foobar_db_server.notes.machine
  name    = foobar_db_server.notes.name # a reference: it is read after the resource was applied
}

output "notes" {
  value = {
    version     = data.foobar_db_server.notes.version
    fenced      = data.foobar_db_server.notes.fenced
    connections = data.foobar_db_server.notes.connections
  }
}
