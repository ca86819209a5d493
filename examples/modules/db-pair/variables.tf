variable "name" {
  description = "Name of the replication, and of the database server on each of its machines."
  type        = string
}

variable "engine" {
  description = "The program that holds the data."
  type        = string
  default     = "mariadb"
}

variable "members" {
  description = "Where the databases run, by the name of the machine: the machine, and the address at which the other members and the clients reach it."
  type = map(object({
    machine = object({
      name        = string
      address     = string
      incarnation = optional(number)
      key         = optional(string)
    })
    address = string
  }))
}

variable "primary" {
  description = "The member that takes the writes."
  type        = string
}

variable "witnesses" {
  description = "Machines without a database that count in a majority, by name. With two members, one makes it possible to lose any one of the three."
  type = map(object({
    name        = string
    address     = string
    incarnation = optional(number)
    key         = optional(string)
  }))
  default = {}
}

variable "clients" {
  description = "Who may connect, besides the members: IP addresses and networks. All others are cut off."
  type        = set(string)
  default     = []
}

variable "database" {
  description = "The database that is made."
  type        = string
}

variable "user" {
  description = "The account that may do all in that database, over TLS alone."
  type        = string
}

variable "password" {
  description = "The account's password. Neither the plan nor the state keeps it."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "password_version" {
  description = "Version of the password: raise it when that changes."
  type        = number
  default     = 1
}

variable "port" {
  description = "TCP port of the database servers."
  type        = number
  default     = 3306
}

variable "settings" {
  description = "The engine's own variables, the same on every member; the guide on the settings of a database server lists them."
  type        = map(string)
  default     = {}
}

variable "reseed" {
  description = "Consent to replace one member's data by the primary's, when a plan asks for it. The token is any text; the consent counts once for each."
  type = object({
    node  = string
    token = string
  })
  default = null
}

variable "drop" {
  description = "Consent to drop databases and users that are not in the configuration any more. The token is any text; the consent counts once for each."
  type = object({
    databases = optional(set(string))
    users     = optional(set(string))
    token     = string
  })
  default = null
}
