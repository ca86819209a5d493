output "releases" {
  description = "Of each app server: SHA-256 of its release, and its generation, which counts the applied changes."
  # A plan knows no generation of a change. Of an output that it knows whole, Terraform
  # would save what was planned, also where the apply fails and the old release stays.
  value = { for name, server in foobar_app_server.this : name => { sha256 = server.release.sha256, generation = server.generation } }
}

output "load_balancer_generation" {
  description = "Generation of the load balancer: it counts the applied changes."
  value       = foobar_load_balancer.this.generation
}
