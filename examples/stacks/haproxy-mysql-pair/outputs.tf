output "releases" {
  description = "Of each app server: SHA-256 of its release, and its generation, which counts the applied changes."
  value       = module.notes.releases
}
