"""eni-manager: owner of AWS. Told what capacity is wanted, answers with what EC2 really holds. Calls nobody but EC2 and IMDS."""
