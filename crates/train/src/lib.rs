//! Supervised fine-tuning: plan, loader, step, schedule, checkpoint.
