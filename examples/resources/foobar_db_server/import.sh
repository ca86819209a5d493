# <machine>@<address of its agent>/<name>
terraform import foobar_db_server.notes web1@10.0.0.1/notes
