"""The key ring in a token: an HSM, or anything else that speaks PKCS#11, keeps the keys and uses them itself."""
