variable "deployment" {
  description = "Name of the deployment: all machines that trust one CA. The seed of the CA comes from FOOBAR_CA_SEED."
  type        = string
  default     = "demo"
}

variable "release" {
  description = "Path of the app's release: what examples/apps/notes/pack.sh packs."
  type        = string
}

variable "database_password" {
  description = "Password of the app's account in the database. Neither the plan nor the state keeps it; TF_VAR_database_password keeps it out of the shell's history too."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "database_password_version" {
  description = "Version of that password: raise it when the password changes."
  type        = number
  default     = 1
}

variable "incarnations" {
  description = "Which VM of its name a machine is, where it is not the first. Raise a machine's number when its VM is rebuilt: the next apply restores everything on it."
  type        = map(number)
  default     = {}
}
