package appserver

import "testing"

func TestSecretsInTheEnvironmentAreTold(t *testing.T) {
	const named, url, text = "is named like a secret", "is a URL with a password in it", "holds a password"
	for _, c := range []struct{ name, value, want string }{
		{"DB_PASSWORD", "hunter2", named},
		{"PGPASSWORD", "hunter2", named},
		{"github_token", "ghp_x", named},
		{"CLIENT_SECRET", "x", named},
		{"STRIPE_API_KEY", "x", named},
		{"AWS_SECRET_ACCESS_KEY", "x", named},
		{"SECRET_KEY_BASE", "x", named},
		{"DB_PASS", "x", named},
		{"PASS", "x", named},
		{"DB_PWD", "x", named},
		{"MYSQL_PWD", "x", named},
		{"REGISTRY_CREDENTIALS", "x", named},
		{"API_TOKEN_1", "x", named},
		{"API_TOKEN2", "x", named},
		{"DB_PASSWORD", "", ""},
		{"DB_PASSWORD", "/run/credentials/password", ""},
		{"DB_PASSWORD_FILE", "password.txt", ""},
		{"GOOGLE_CREDENTIALS", "/run/key.json", ""},
		{"TOKEN_LIFETIME", "3600", ""},
		{"PASSWORD_MIN_LENGTH", "12", ""},
		{"PASS_THROUGH", "on", ""},
		{"COMPASS", "north", ""},
		{"BYPASS", "on", ""},
		{"PWD_LENGTH", "9", ""},
		{"OLDPWD", "tmp", ""},
		{"CACHE_KEY", "shop", ""},
		{"SECRETARY", "Ann", ""},
		{"WORKERS_1", "4", ""},
		{"ALLOW_CREDENTIALS", "true", ""},
		{"REQUIRE_PASSWORD", "yes", ""},

		{"DATABASE_URL", "mysql://shop:hunter2@127.0.0.1:6446/shop", url},
		{"DATABASE_URL", "mysql://shop:100%sure@127.0.0.1:6446/shop", url},
		{"DATABASE_URL", "mysql://shop:a#b@127.0.0.1:6446/shop", url},
		{"DATABASE_URL", "mysql://shop:a@b@127.0.0.1:6446/shop", url},
		{"DATABASE_URL", "jdbc:mysql://shop:hunter2@127.0.0.1/shop", url},
		{"REDIS", "redis://:hunter2@127.0.0.1", url},
		{"DATABASE_URL", "mysql://shop@127.0.0.1:6446/shop", ""},
		{"DATABASE_URL", "mysql://shop:@127.0.0.1/shop", ""},
		{"MAIL_URL", "https://example.com:8443/@user", ""},
		{"MAIL_URL", "https://example.com/a:b@c", ""},
		{"MAIL_URL", "https://example.com:8443?to=ann@example.com", ""},

		{"DATABASE_URL", "jdbc:mysql://127.0.0.1/shop?user=shop&password=hunter2", text},
		{"DATABASE_URL", "postgres://127.0.0.1/shop?password=hunter2", text},
		{"DSN", "host=127.0.0.1 user=shop password=hunter2", text},
		{"DSN", "host = h password = 'hunter 2'", text},
		{"DSN", "Server=h;Uid=shop;Pwd=hunter2;", text},
		{"DSN", "shop:hunter2@tcp(127.0.0.1:6446)/shop", text},
		{"DSN", "shop@tcp(127.0.0.1:6446)/shop", ""},
		{"DSN", "host=127.0.0.1 password='' user=shop", ""},
		{"DSN", "host=127.0.0.1 password= user=shop", ""},
		{"DSN", "host=127.0.0.1 passfile=/run/pass", ""},
		{"RESET_URL", "https://example.com/reset?password", ""},
		{"RULES", "no_password=1", ""},
		{"TITLE", "Forgot your password?", ""},
		{"GREETING", "say: hello@example", ""},
	} {
		if got := exposes(c.name, c.value); got != c.want {
			t.Errorf("%s=%s: %q, want %q", c.name, c.value, got, c.want)
		}
	}
}
