# <machine of the primary>@<address of its agent>/<name>
terraform import foobar_db_replication.notes web1@10.0.0.1/notes
