"""What an ADD's and a DEL's time goes to."""
