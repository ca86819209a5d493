locals {
  replicas = [for name in sort(keys(var.members)) : name if name != var.primary]
}

# The two addresses come from the variables, not from the resources: an app
# that has to live with its database away need not wait until it is made.

output "write" {
  description = "Where to write: host and port of the primary."
  value       = { host = var.members[var.primary].address, port = var.port }
}

output "read" {
  description = "Where to read: host and port of the replica, or of the primary while it is alone."
  value = {
    host = var.members[concat(local.replicas, [var.primary])[0]].address
    port = var.port
  }
}

output "database" {
  description = "The database."
  value       = var.database
}

output "user" {
  description = "The account that may use it."
  value       = var.user
}

output "replication" {
  description = "Who is primary, in which epoch, and what each member is."
  value = {
    primary = foobar_db_replication.this.current_primary
    epoch   = foobar_db_replication.this.epoch
    roles   = foobar_db_replication.this.roles
  }
}
