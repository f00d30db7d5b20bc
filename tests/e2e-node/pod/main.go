// The program of the pod: what an application has to do that mounts the Secret. It reads the token before each call,
// calls the provider with it, and counts the responses.
//
//	pod URL TOKEN_FILE STILL_FILE
//
// It writes a line of JSON for each new token at once, and one each second. STILL_FILE is the same token, mounted with a
// subPath. Without arguments it is the sandbox's program and does nothing.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

// Tokens are identified by their SHA-256, so that none appears in a log.
type report struct {
	At      time.Time `json:"at"`
	Token   string    `json:"token"`
	Still   string    `json:"still"`
	Calls   int       `json:"calls"`
	Good    int       `json:"good"`
	Refused int       `json:"refused"`
}

func main() {
	if len(os.Args) < 4 {
		for {
			time.Sleep(time.Hour)
		}
	}
	url, tokenFile, stillFile := os.Args[1], os.Args[2], os.Args[3]
	client := client()
	lines := json.NewEncoder(os.Stdout)
	var now, last report
	for ; ; time.Sleep(100 * time.Millisecond) {
		token := read(tokenFile)
		now.At, now.Token, now.Still = time.Now().UTC(), hash(token), hash(read(stillFile))
		status := call(client, url, token)
		now.Calls++
		switch status {
		case http.StatusOK:
			now.Good++
		case http.StatusUnauthorized:
			now.Refused++
		}
		if now.Token != last.Token || now.Refused != last.Refused || now.At.Sub(last.At) >= time.Second {
			lines.Encode(now)
			last = now
		}
	}
}

// The certificate of the provider's CA is in the environment, PEM.
func client() *http.Client {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(os.Getenv("PROVIDER_CA"))) {
		log.Fatal("PROVIDER_CA holds no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

func call(client *http.Client, url, token string) int {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(request)
	if err != nil {
		log.Print(err)
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

func read(file string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	return strings.TrimSpace(string(content))
}

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
