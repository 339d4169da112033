/* Encrypting for the owner of an SSH key: only who has the private half can read it.
 *
 * The text is RSA with PKCS#1 v1.5 padding, as nova's "get password" expects it of a guest or a
 * host (openssl rsautl -decrypt reads it).
 * Ownership  results belong to the caller.
 * Errors     DV_E_BAD_INPUT: no RSA key, or a text that is too long for it. Never names the text.
 * Threads    any.
 * Sources    nova crypto.py ssh_encrypt_text (Zed); RFC 4253 section 6.6. */
#pragma once

#include "util/error.h"

/* Whether a line of authorized_keys holds an RSA key. NULL: no. */
bool dv_ssh_key_is_rsa(const char *public_key);
/* `text` encrypted with such a key, in base64. */
bool dv_ssh_encrypt(const char *public_key, const char *text, char **out_base64, GError **err);
