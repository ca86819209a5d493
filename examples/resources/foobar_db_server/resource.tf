resource "foobar_machine" "web1" {
  name    = "web1"
  address = "10.0.0.1"
}

resource "foobar_machine" "web2" {
  name    = "web2"
  address = "10.0.0.2"
}

resource "foobar_db_server" "notes" {
  machine = foobar_machine.web1
  name    = "notes"
  engine  = "mariadb"

  listen_addresses = ["10.0.0.1"]
  allowed_clients = [
    foobar_machine.web1.address, # a machine
    foobar_machine.web2.address,
    "10.0.0.128/25", # a network
  ]

  settings = {
    innodb_buffer_pool_size = "512M" # a change of this restarts the server; the plan says so
    max_connections         = 300    # one of this does not
    slow_query_log          = true
    long_query_time         = 0.5
  }
}
