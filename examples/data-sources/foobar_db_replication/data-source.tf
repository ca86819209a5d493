resource "foobar_machine" "web1" {
  name    = "web1"
  address = "10.0.0.1"
}

data "foobar_db_replication" "notes" {
  machine = foobar_machine.web1 # the primary's
  name    = "notes"
}

output "notes" {
  value = {
    primary  = data.foobar_db_replication.notes.current_primary
    epoch    = data.foobar_db_replication.notes.epoch
    writable = data.foobar_db_replication.notes.writable
    states   = { for name, member in data.foobar_db_replication.notes.members : name => member.state }
  }
}
