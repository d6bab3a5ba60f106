"""What a user may choose: options, backbones, batch schedules and byte sizes."""
