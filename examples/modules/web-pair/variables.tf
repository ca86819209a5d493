variable "name" {
  description = "Name of the load balancer and of the app servers, each on its machine. Another name replaces all of them, and takes two applies: the plan refuses the new ones on ports that the old ones hold."
  type        = string
}

variable "load_balancer" {
  description = "Where the load balancer runs: its machine, and the address by which the app servers see it."
  type = object({
    machine = object({
      name        = string
      address     = string
      incarnation = optional(number)
      key         = optional(string)
    })
    address = string
  })
}

variable "app_servers" {
  description = "Where the app runs, by the name that the load balancer gives each server: its machine, and the address by which the load balancer reaches it."
  type = map(object({
    machine = object({
      name        = string
      address     = string
      incarnation = optional(number)
      key         = optional(string)
    })
    address     = string
    weight      = optional(number)
    drain       = optional(bool)
    environment = optional(map(string), {})
  }))
}

variable "release" {
  description = "Path of the app's artifact, a .tar.gz file."
  type        = string
}

variable "release_sha256" {
  description = "SHA-256 that the release must have. Default: whatever it has."
  type        = string
  default     = null
}

variable "command" {
  description = "The app's program and its arguments, run in the release's directory without a shell."
  type        = list(string)
}

variable "environment" {
  description = "Environment variables of the app on every machine."
  type        = map(string)
  default     = {}
}

variable "secrets" {
  description = "Secret environment variables of the app. Neither the plan nor the state keeps them."
  type        = map(string)
  default     = null
  sensitive   = true
  ephemeral   = true
}

variable "secrets_version" {
  description = "Version of the secrets: raise it when one of them changes."
  type        = number
  default     = null
}

variable "port" {
  description = "TCP port of the load balancer that the world connects to."
  type        = number
  default     = 80
}

variable "app_server_port" {
  description = "TCP port of the app servers that the load balancer connects to."
  type        = number
  default     = 80
}

variable "algorithm" {
  description = "How the load balancer chooses the server for a request."
  type        = string
  default     = "round_robin"
}

variable "health_path" {
  description = "Path that the app answers with 200 when it can serve."
  type        = string
  default     = "/"
}

variable "app_workers" {
  description = "How many requests the app on each server works on at one time: its workers or threads. Default: no limit that protects the app from overload."
  type        = number
  default     = null
}

variable "min_healthy_time" {
  description = "How long a new release has to stay healthy on a server before that server's traffic goes to it. Default: the resource's own."
  type        = string
  default     = null
}

variable "drain_timeout" {
  description = "How long requests and streams of the old release may go on once a server's traffic goes to the new one. Default: the resource's own."
  type        = string
  default     = null
}

variable "liveness" {
  description = "What a running app has to answer: the agent restarts one that does not. Choose a path that asks no database. Default: a hung app is not noticed."
  type = object({
    path     = optional(string)
    interval = optional(string)
    timeout  = optional(string)
    failures = optional(number)
  })
  default = null
}

variable "agent_check_port" {
  description = "TCP port of the app servers where their agents tell the load balancer, and nobody else, whether the app works, drains or is down. Default: none, the load balancer goes by its health check alone."
  type        = number
  default     = null
}

variable "max_connections" {
  description = "Connections of all clients together. Each takes two open files on the load balancer's machine. Default: the resource's own."
  type        = number
  default     = null
}

variable "trusted_proxies" {
  description = "Networks in front of the load balancer whose X-Forwarded-For names the client, such as a CDN's."
  type        = set(string)
  default     = []
}
