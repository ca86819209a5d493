package appserver

import "testing"

func TestSecretsInTheEnvironmentAreTold(t *testing.T) {
	const named, url = "is named like a secret", "is a URL with a password in it"
	for _, c := range []struct{ name, value, want string }{
		{"DB_PASSWORD", "hunter2", named},
		{"PGPASSWORD", "hunter2", named},
		{"github_token", "ghp_x", named},
		{"CLIENT_SECRET", "x", named},
		{"STRIPE_API_KEY", "x", named},
		{"AWS_SECRET_ACCESS_KEY", "x", named},
		{"DATABASE_URL", "mysql://shop:hunter2@127.0.0.1:6446/shop", url},
		{"DATABASE_URL", "mysql://shop@127.0.0.1:6446/shop", ""},
		{"DATABASE_URL", "mysql://shop:@127.0.0.1/shop", ""},
		{"DB_PASSWORD", "", ""},
		{"DB_PASSWORD", "/run/credentials/password", ""},
		{"DB_PASSWORD_FILE", "password.txt", ""},
		{"TOKEN_LIFETIME", "3600", ""},
		{"PASSWORD_MIN_LENGTH", "12", ""},
		{"CACHE_KEY", "shop", ""},
		{"GREETING", "say: hello@example", ""},
		{"SECRETARY", "Ann", ""},
	} {
		if got := exposes(c.name, c.value); got != c.want {
			t.Errorf("%s=%s: %q, want %q", c.name, c.value, got, c.want)
		}
	}
}
