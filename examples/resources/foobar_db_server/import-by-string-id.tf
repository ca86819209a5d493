import {
  to = foobar_db_server.notes
  id = "web1@10.0.0.1/notes" # <machine>@<address of its agent>/<name>
}
