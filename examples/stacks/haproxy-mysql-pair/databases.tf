# The database on each of the two servers: web1's takes the writes, web2's
# follows it, asynchronously, and serves the reads.

module "databases" {
  source = "../../modules/db-pair"

  name     = "notes"
  database = "notes"
  user     = "notes"

  password         = var.database_password
  password_version = var.database_password_version

  members = {
    for name in ["web1", "web2"] : name => {
      machine = foobar_machine.vm[name]
      address = local.machines[name]
    }
  }
  primary   = "web1"
  witnesses = { lb1 = foobar_machine.vm["lb1"] } # two of three machines are a majority

  clients = [for name in local.app_servers : local.machines[name]]
}

# How the app reaches them; examples/apps/notes lists these variables.
locals {
  database = {
    NOTES_DB_WRITE_HOST = module.databases.write.host
    NOTES_DB_WRITE_PORT = module.databases.write.port
    NOTES_DB_READ_HOST  = module.databases.read.host
    NOTES_DB_READ_PORT  = module.databases.read.port
    NOTES_DB_NAME       = module.databases.database
    NOTES_DB_USER       = module.databases.user
    NOTES_DB_CA         = foobar_bootstrap.vm["web1"].ca_certificate
  }
}

output "replication" {
  description = "Who is primary, in which epoch, and what each member is."
  value       = module.databases.replication
}

# What moves by itself, such as positions and lag, is in the data source:
#   terraform console <<<data.foobar_db_replication.notes.members
data "foobar_db_replication" "notes" {
  machine = foobar_machine.vm["web1"]
  name    = "notes"

  depends_on = [module.databases]
}
