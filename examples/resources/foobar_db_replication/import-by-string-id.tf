import {
  to = foobar_db_replication.notes
  id = "web1@10.0.0.1/notes" # <machine of the primary>@<address of its agent>/<name>
}
