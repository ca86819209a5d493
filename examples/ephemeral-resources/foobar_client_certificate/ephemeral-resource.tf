# A job that holds the seed mints a certificate for jobs that only plan.
ephemeral "foobar_client_certificate" "ci" {
  role  = "reader"
  actor = "ci@example.com" # the name in the machines' audit logs
  ttl   = "24h"
}

# Nothing of it is in a plan or a state. Pass it on in a place where secrets
# live: a write-only argument of that place's resource, or a local file, which
# the hashicorp/local provider would keep in the state, and this does not.
resource "terraform_data" "ci" {
  triggers_replace = [plantimestamp()] # a new certificate at each apply

  provisioner "local-exec" {
    command = "umask 077 && rm -f ci.crt ci.key && printf %s \"$CERTIFICATE\" > ci.crt && printf %s \"$KEY\" > ci.key"
    environment = {
      CERTIFICATE = ephemeral.foobar_client_certificate.ci.certificate_pem
      KEY         = ephemeral.foobar_client_certificate.ci.private_key_pem
    }
  }
}

# The other job's provider has no seed:
#   provider "foobar" {
#     deployment         = "shop"
#     client_certificate = file("ci.crt") # or FOOBAR_CLIENT_CERTIFICATE
#     client_key         = file("ci.key") # or FOOBAR_CLIENT_KEY
#   }
